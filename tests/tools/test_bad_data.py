"""Faults of data and of models while a run reads them: one line that says which."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from tests.tools.output import error

LOADER = "train_dataloader"


@pytest.fixture
def broken(toy_config):
    """Return a function that writes a config of data with a fault, in order."""

    def write(dataset, num_workers=0, **options):
        changes = {
            "custom_imports.imports": ["toy_broken"],
            f"{LOADER}.sampler": {"type": "DefaultSampler", "shuffle": False},
            f"{LOADER}.dataset": {"_delete_": True, **dataset},
            **options,
        }
        return toy_config(changes, num_workers=num_workers)

    return write


@pytest.fixture
def images(tmp_path):
    """Return a folder of whole images."""
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(8):
        pixels = noise.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("damage", ["empty", "cut", "text", "gone"])
def test_image_is_named(broken, run_tool, images, num_workers, damage):
    file = images / "5.png"
    config = broken({"type": "ToyFiles", "data_root": "photos"}, num_workers)
    content = {"empty": b"", "cut": file.read_bytes()[:60], "text": b"no image"}
    if damage == "gone":
        file.unlink()
        file.symlink_to("nowhere.png")
    else:
        file.write_bytes(content[damage])
    line = error(run_tool("train.py", config, code=1))
    assert "\n" not in line
    assert "Sample 5 of ToyFiles, file 'photos/5.png' cannot be read" in line
    assert "0 bytes" in line or damage != "empty"
    assert "take it out of the annotations" in line


FAULTS = {
    "shape": ("samples of one batch cannot be put together", "size", "Resize"),
    "label": ("The label 7", "2 outputs"),
    "key": ("Sample 5 of ToyFaults", "labels", "toy_broken.py:"),
    "memory": ("Sample 5 of ToyFaults", "[Mm]emory"),
}


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_a_sample(broken, run_tool, fault, num_workers):
    collate = {f"{LOADER}.collate_fn": {"type": "default_collate"}}
    options = collate if fault == "shape" else {}
    config = broken({"type": "ToyFaults", "fault": fault}, num_workers, **options)
    line = error(run_tool("train.py", config, code=1))
    assert "\n" not in line
    missing = [word for word in FAULTS[fault] if not re.search(word, line)]
    assert not missing, line


@pytest.mark.parametrize("fault", ["exits", "killed"])
def test_worker_that_dies(broken, run_tool, fault):
    config = broken({"type": "ToyFaults", "fault": fault}, 1)
    line = error(run_tool("train.py", config, code=1))
    assert "\n" not in line
    assert re.search(r"The process \d+ that reads data (exited|is killed)", line)
    assert "num_workers" in line


def test_mistake_in_a_model(broken, run_tool, tmp_path):
    config = broken({"type": "ToyDataset"}, **{"model.type": "ToyBug"})
    output = run_tool("train.py", config, code=1)
    line = error(output)
    assert "'Tensor' object has no attribute 'nothing'" in line
    assert re.search(r"toy_broken\.py:\d+", line)
    assert "MMRAZOR_DEBUG=1" in line
    assert not (tmp_path / "work_dirs").exists()
    output = run_tool("train.py", config, code=1, MMRAZOR_DEBUG="1")
    assert "Traceback (most recent call last)" in output
    assert "in forward" in output
    assert output.strip().splitlines()[-1] == line
    assert (tmp_path / "work_dirs").exists()


def test_stopped_run_says_how_to_go_on(broken, run_tool):
    config = broken({"type": "ToyFaults", "fault": "stopped"})
    output = run_tool("train.py", config, code=130)
    assert "Traceback" not in output
    last = output.strip().splitlines()[-1]
    assert "python" in last
    assert "train.py" in last
    assert "--resume" in last


def test_a_rank_that_fails_ends_the_others_in_one_line(
    broken, run_failing_ranks, tmp_path
):
    config = broken({"type": "ToyFaults", "fault": "key", "rank": 1})
    outputs = run_failing_ranks("train.py", config)
    lines = [error(output) for output in outputs]
    assert all("\n" not in line for line in lines), lines
    assert "Sample 5 of ToyFaults" in lines[1]
    assert "Another process of this run ended" in lines[0]
