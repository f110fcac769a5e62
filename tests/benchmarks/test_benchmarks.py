"""The benchmarks start, and print JSON. Their numbers are no test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = (
    "import_time.py",
    "kd_accuracy.py",
    "kd_step.py",
    "nas_accuracy.py",
    "prune_accuracy.py",
    "quant_accuracy.py",
    "search_scaling.py",
)


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_the_gpu_option(script):
    if script != "import_time.py":
        pytest.importorskip("mmpretrain")
    assert "--full" in run(script, "--help")


@pytest.mark.slow
def test_import_time_prints_json():
    result = json.loads(run("import_time.py", "--repeats", "1"))
    assert result["benchmark"] == "import_time"
    assert result["goal_s"] == 0.15
    for clock in ("wall", "cpu"):
        assert result[clock]["base_s"] > 0
        assert result[clock]["with_mmrazor_s"] > 0
    assert {"cpu", "cores", "load_1min", "versions"} <= set(result["machine"])
