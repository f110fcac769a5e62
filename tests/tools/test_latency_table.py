"""tools/prune.py --latency-table as a user runs it; estimates are checked elsewhere."""

import json

from tests.tools.output import error


def test_measured_written_and_read(toy_config, run_tool, tmp_path):
    config = toy_config(model={"type": "ToyConvNet"})
    tool = ("prune.py", config, "--image-size", 8, "--no-onnx")
    budget = ("--budget", "latency_ms=60000", "macs=0.5")
    table = ("--latency-table", "table.json")
    output = run_tool(*tool, *budget, *table)
    assert "latency of 5 random models: estimates are off by" in output
    path = tmp_path / "table.json"
    written = json.loads(path.read_text())
    assert written["groups"] == {"first.out": 8, "second.out": 8}
    layers = [layer["layer"] for layer in written["layers"]]
    assert layers == ["first", "norm", "second", "norm2", "drop", "last"]
    output = run_tool(*tool, *budget, *table)
    assert "Timing layers" not in output
    assert json.loads(path.read_text()) == written

    path.write_text(json.dumps({**written, "device": "another one"}))
    text = error(run_tool(*tool, *budget, *table, code=1))
    assert "is of another device: 'another one'" in text
    text = error(run_tool(*tool, "--budget", "macs=0.5", *table, code=1))
    assert "A latency table serves a budget of latency_ms" in text
