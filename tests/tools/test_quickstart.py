"""The quickstart, end to end, on a tiny data set with Fashion-MNIST's file names."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from mmrazor.apis.prepare_data.idx import idx_bytes
from mmrazor.apis.prepare_data.store import content_digest, write_manifest

NETWORKS = ["teacher", "student alone", "student distilled"]


@pytest.fixture
def tiny_data(tmp_path):
    """Put 256 images to train and 100 to test, told apart by a bright row."""
    folder = tmp_path / "tiny" / "fashion_mnist"
    folder.mkdir(parents=True)
    rng = np.random.RandomState(0)
    for prefix, num in (("train", 256), ("t10k", 100)):
        labels = (np.arange(num) % 10).astype(np.uint8)
        images = rng.randint(0, 100, size=(num, 28, 28)).astype(np.uint8)
        images[np.arange(num), 4 + 2 * labels] = 255
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    entries = {path.name: content_digest(path) for path in sorted(folder.iterdir())}
    write_manifest(folder, entries, {}, "a test")
    return "tiny"


def comparable(path):
    """Return what the same seed must give again: all but times."""
    results = json.loads(path.read_text())
    del results["train_seconds"]
    for row in results["rows"]:
        assert row.pop("latency_ms") > 0
    return results


def test_quickstart_on_tiny_data(tmp_path, run_tool, tiny_data):
    output = run_tool("quickstart.py", "--short", "--data-root", tiny_data)
    work_dir = tmp_path / "work_dirs" / "quickstart"
    results = comparable(work_dir / "results.json")
    assert [row["name"] for row in results["rows"]] == NETWORKS
    assert all(list(curve) == ["1", "2"] for curve in results["curves"].values())
    teacher, alone, distilled = results["rows"]
    assert alone["params"] == distilled["params"] < teacher["params"]
    assert 3 < teacher["macs"] / alone["macs"] < 7
    for row in results["rows"]:
        assert row["top1"] == results["curves"][row["name"]]["2"]
        assert row["name"] in output
    assert "Next:" in output
    assert "INFO" not in output  # the log is in files
    assert len(output.splitlines()) < 45
    Image.open(work_dir / "curves.png").verify()

    # The exported student has the plain keys, and ONNX gives what was validated.
    export = work_dir / "export"
    state = torch.load(export / "distilled.pth", weights_only=True)["state_dict"]
    assert set(state) == set(
        torch.load(export / "student.pth", weights_only=True)["state_dict"]
    )
    session = onnxruntime.InferenceSession(export / "distilled.onnx")
    image = np.zeros((1, 1, 28, 28), np.float32)
    logits = session.run(None, {session.get_inputs()[0].name: image})[0]
    assert logits.shape == (1, 10)


@pytest.mark.slow
def test_same_seed_same_numbers_and_nothing_is_done_twice(
    tmp_path, run_tool, tiny_data
):
    def run(work_dir, seed):
        options = ["--short", "--data-root", tiny_data, "--seed", seed]
        output = run_tool("quickstart.py", *options, "--work-dir", work_dir)
        results = comparable(tmp_path / work_dir / "results.json")
        return results, output.count("done before")

    first = run("first", 3)
    assert run("second", 3) == first
    assert run("first", 3) == (first[0], 3)
    third, num_kept = run("first", 4)
    assert num_kept == 0
    assert third["curves"] != first[0]["curves"]


def test_no_data_is_said_in_one_message(tmp_path, run_tool):
    (tmp_path / "data").write_text("not a folder")
    output = run_tool("quickstart.py", "--short", code=1)
    assert "Fashion-MNIST cannot be had" in output
    assert "error: The data root 'data' cannot be written" in output
    assert "Traceback" not in output
