from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mmcv")
ROOT = Path(__file__).resolve().parents[2]


def run_tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools/get_flops.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def test_resnet18(tmp_path: Path) -> None:
    """The numbers are those that torchvision publishes for ResNet-18."""
    config = "mmpretrain::resnet/resnet18_8xb32_in1k.py"
    data = tmp_path / "cost.json"
    done = run_tool(config, "--image-size", 224, "--depth", 1, "--json", data)
    assert done.returncode == 0, done.stderr
    found = json.loads(data.read_text())
    assert (found["macs"], found["params"]) == (1_814_073_344, 11_689_512)
    assert found["modules"]["head"]["params"] == 513_000
    assert found["uncounted"] == {}
    assert "1,814,073,344" in done.stdout
    assert "backbone" in done.stdout
    assert "backbone.layer1" not in done.stdout


def test_errors_are_one_line() -> None:
    done = run_tool("no_such_config.py")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
