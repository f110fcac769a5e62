from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.apis.test_export import write_run

pytest.importorskip("mmcv")
ROOT = Path(__file__).resolve().parents[2]


def run_tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools/export.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def test_command_line(tmp_path: Path) -> None:
    config, checkpoint = write_run("mmpretrain", tmp_path)
    done = run_tool(
        *(config, checkpoint, "--out-dir", tmp_path / "out", "--no-onnx"),
        *("--image-size", 32, 48, "--cfg-options", "val_dataloader.batch_size=9"),
    )
    assert done.returncode == 0, done.stderr
    assert "32 x 48" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "distilled.pth",
        "distilled.py",
    ]
    assert "batch_size=9" in (tmp_path / "out" / "distilled.py").read_text()


def test_errors_are_one_line(tmp_path: Path) -> None:
    config, checkpoint = write_run("mmpretrain", tmp_path)
    done = run_tool(config, tmp_path / "epoch_33.pth")
    assert done.returncode == 1
    assert done.stderr.startswith("error: There is no checkpoint file")
    assert "epoch_3.pth" in done.stderr
    torch.save({"state_dict": {"a": torch.ones(1)}}, checkpoint)
    done = run_tool(config, checkpoint)
    assert "does not fit ImageClassifier" in done.stderr
    assert "Traceback" not in done.stderr
