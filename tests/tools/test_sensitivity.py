"""tools/sensitivity.py as a user runs it; scores are checked in tests/apis."""

import json

from tests.tools.output import error


def test_table_files_and_errors(toy_config, run_tool, tmp_path):
    config = toy_config(model={"type": "ToyConvNet"})
    tool = ("sensitivity.py", config, "--image-size", 8, "--shares", 0.5)
    output = run_tool(*tool, "--max-batches", 1, "--out", "out", COLUMNS="99")
    assert "No checkpoint: the weights are random" in output
    assert "second.out: 2 of 2 done" in output
    assert "accuracy of ToyConvNet (val set), by pruned share" in output
    found = json.loads((tmp_path / "out" / "sensitivity.json").read_text())
    assert [group["name"] for group in found["groups"]] == ["first.out", "second.out"]
    assert (tmp_path / "out" / "sensitivity.png").read_bytes()[1:4] == b"PNG"
    text = error(run_tool(*tool, "--out", "out", code=1))
    assert "max_batches was 1 and is None" in text
    assert "There is no group 'x'" in error(run_tool(*tool, "--group", "x", code=1))
