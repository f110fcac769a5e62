from __future__ import annotations

import pytest
import torch

from tests.apis.test_export import write_run
from tests.tools.output import error

pytest.importorskip("mmcv")


def test_command_line(run_tool, tmp_path):
    config, checkpoint = write_run("mmpretrain", tmp_path)
    output = run_tool(
        *("export.py", config, checkpoint, "--out-dir", tmp_path / "out"),
        *("--no-onnx", "--image-size", 32, 48),
        *("--cfg-options", "val_dataloader.batch_size=9"),
    )
    assert "32 x 48" in output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "distilled.pth",
        "distilled.py",
    ]
    assert "batch_size=9" in (tmp_path / "out" / "distilled.py").read_text()


def test_errors_are_one_line(run_tool, tmp_path):
    config, checkpoint = write_run("mmpretrain", tmp_path)
    text = error(run_tool("export.py", config, tmp_path / "epoch_33.pth", code=1))
    assert text.startswith("error: There is no checkpoint file")
    assert "epoch_3.pth" in text
    torch.save({"state_dict": {"a": torch.ones(1)}}, checkpoint)
    text = error(run_tool("export.py", config, checkpoint, code=1))
    assert "does not fit ImageClassifier" in text
