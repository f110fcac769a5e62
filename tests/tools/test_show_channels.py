from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.apis.test_export import write_run

pytest.importorskip("mmcv")
ROOT = Path(__file__).resolve().parents[2]


def run_tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools/show_channels.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def test_table_json_and_picture(tmp_path: Path) -> None:
    config, _ = write_run("mmpretrain", tmp_path)
    data, picture = tmp_path / "channels.json", tmp_path / "channels.png"
    done = run_tool(
        *(config, "--image-size", 32, "--json", data, "--picture", picture),
        *("--ignore", "head"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(data.read_text())
    assert f"{len(found['groups'])} groups, {found['macs']:,} MACs" in done.stdout
    assert found["image_size"] == [32, 32]
    first = found["groups"][0]
    made = [s for s in first["slots"] if s["role"] == "out"]
    assert first["name"] == made[0]["name"].replace(".weight", ".out")
    assert all(group["macs"] > 0 for group in found["groups"])
    assert any("which is ignored" in why for why in found["unprunable"].values())
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_errors_are_one_line(tmp_path: Path) -> None:
    config, _ = write_run("mmpretrain", tmp_path)
    done = run_tool(config, "--ignore", "backbone.layer9")
    assert done.returncode == 1
    assert "error: ImageClassifier has no module 'backbone.layer9'" in done.stderr
    assert "Traceback" not in done.stderr
