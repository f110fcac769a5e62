from __future__ import annotations

import json

import pytest

from tests.apis.test_export import write_run
from tests.tools.output import error

pytest.importorskip("mmcv")


def test_table_json_and_picture(run_tool, tmp_path):
    config, _ = write_run("mmpretrain", tmp_path)
    data, picture = tmp_path / "channels.json", tmp_path / "channels.png"
    output = run_tool(
        *("show_channels.py", config, "--image-size", 32),
        *("--json", data, "--picture", picture, "--ignore", "head"),
    )
    found = json.loads(data.read_text())
    assert f"{len(found['groups'])} groups, {found['macs']:,} MACs" in output
    assert found["image_size"] == [32, 32]
    first = found["groups"][0]
    made = [s for s in first["slots"] if s["role"] == "out"]
    assert first["name"] == made[0]["name"].replace(".weight", ".out")
    assert all(group["macs"] > 0 for group in found["groups"])
    assert any("which is ignored" in why for why in found["unprunable"].values())
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_errors_are_one_line(run_tool, tmp_path):
    config, _ = write_run("mmpretrain", tmp_path)
    wrong = ("--ignore", "backbone.layer9")
    text = error(run_tool("show_channels.py", config, *wrong, code=1))
    assert text.startswith("error: ImageClassifier has no module 'backbone.layer9'")
