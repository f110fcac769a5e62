"""tools/compare.py as a user runs it."""

import json

import torch
from toy_prune import ToyConvNet


def test_command_line(toy_config, run_tool, tmp_path):
    configs = [
        toy_config(name=f"{width}.py", model={"type": "ToyConvNet", "width": width})
        for width in (8, 4)
    ]
    models = []
    for width, config in zip((8, 4), configs, strict=True):
        torch.save(ToyConvNet(width).state_dict(), tmp_path / f"{width}.pth")
        models += [config, f"{width}.pth"]
    output = run_tool(
        *("compare.py", *models, "--names", "wide", "narrow", "--rounds", 1),
        *("--out", "out"),
        COLUMNS="160",
    )
    assert "one image of 8 x 8" in output
    found = json.loads((tmp_path / "out/compare.json").read_text())
    wide, narrow = found["models"]
    # Two convolutions of 3 x 3 on 8 x 8 pixels, and a linear layer.
    assert wide["macs"] == 9 * 64 * (3 * 8 + 8 * 8) + 8 * 2
    assert narrow["macs"] == 9 * 64 * (3 * 4 + 4 * 4) + 4 * 2
    assert f"{narrow['macs'] / wide['macs']:.1%}" in output
    assert found["metric"] == "accuracy"
    assert (tmp_path / "out/compare.png").is_file()

    output = run_tool("compare.py", *models, configs[0], code=2)
    assert "a model is CONFIG and FILE, but there are 5" in output
