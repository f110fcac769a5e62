"""The commands of configs/combined/README.md, one after the other, on ten images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrazor.core.space import Subnet
from tests.docs.blocks import ROOT, blocks_of, commands_of

README = Path("configs/combined/README.md")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer")
CLASSES += ("dog", "frog", "horse", "ship", "truck")
# Ten images are one step of an epoch: pruning needs some behind it.
SHORT = ["model.pruner.schedule.end=1", "model.pruner.schedule.interval=1"]
SHORT += ["train_dataloader.batch_size=2"]


def commands() -> list[list[str]]:
    """Return the commands of the page that run here, as words."""
    blocks = blocks_of(README, (ROOT / README).read_text("utf-8"))
    bash = [block.text for block in blocks if block.language == "bash"]
    found = [words for text in bash for words in commands_of(text)]
    return [words for words in found if any("_cifar10" in word for word in words)]


def write_images(folder: Path) -> None:
    rng = np.random.RandomState(0)
    for split in ("train", "test"):
        for name in CLASSES:
            path = folder / "data/cifar10" / split / name / "0.png"
            path.parent.mkdir(parents=True)
            pixels = rng.randint(0, 256, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(path)


@pytest.mark.slow
def test_from_a_dense_network_to_integers(run_tool, tmp_path):
    pytest.importorskip("mmpretrain")
    write_images(tmp_path)
    outputs = {}
    for python, script, *words in commands():
        assert python == "python"
        paths = [str(ROOT / w) if w.startswith("configs/") else w for w in words]
        short = ["--cfg-options", *SHORT] if "prune" in words[0] else []
        if script == "tools/train.py":
            paths += short
        tool = script.removeprefix("tools/")
        outputs[tool, Path(words[0]).stem] = run_tool(tool, *paths, COLUMNS="200")
    tools = [tool for tool, _ in outputs]
    assert tools == ["train.py"] * 4 + ["export.py", "test.py", "compare.py"]
    assert "100.0% of the MACs" in next(
        text for (tool, _), text in outputs.items() if tool == "export.py"
    )
    found = json.loads((tmp_path / "work_dirs/compare/compare.json").read_text())
    dense, pruned, distilled, int8 = found["models"]
    (file,) = tmp_path.glob("work_dirs/*prune*/subnet.yaml")
    subnet = Subnet.load(file)
    assert 0.4 * dense["macs"] < subnet.cost["macs"] <= 0.5 * dense["macs"]
    for one in (pruned, distilled, int8):
        assert (one["macs"], one["params"]) == (
            subnet.cost["macs"],
            subnet.cost["params"],
        )
        assert one["refusal"] == ""
    assert pruned["onnx_bytes"] == pytest.approx(distilled["onnx_bytes"], rel=0.01)
    assert int8["onnx_bytes"] < 0.5 * distilled["onnx_bytes"]
    tested = next(text for (tool, _), text in outputs.items() if tool == "test.py")
    assert f"accuracy/top1: {int8['metrics']['accuracy/top1']:.4f}" in tested
