from __future__ import annotations

import json

import pytest

from tests.tools.output import error

pytest.importorskip("mmcv")


def test_resnet18(run_tool, tmp_path):
    """The numbers are those that torchvision publishes for ResNet-18."""
    config = "mmpretrain::resnet/resnet18_8xb32_in1k.py"
    output = run_tool(
        *("get_flops.py", config, "--image-size", 224, "--depth", 1),
        *("--json", "cost.json"),
    )
    found = json.loads((tmp_path / "cost.json").read_text())
    assert (found["macs"], found["params"]) == (1_814_073_344, 11_689_512)
    assert found["modules"]["head"]["params"] == 513_000
    assert found["uncounted"] == {}
    assert "1,814,073,344" in output
    assert "backbone" in output
    assert "backbone.layer1" not in output
    assert "weights are random" not in output


def test_errors_are_one_line(run_tool):
    output = run_tool("get_flops.py", "no_such_config.py", code=1)
    assert error(output).startswith("error: ")
