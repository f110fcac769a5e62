"""Ctrl-C ends a tool in one line that can be typed; a second run is refused."""

import os
import shlex
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT, pruned
from toy_prune import ToyConvNet

from mmrazor.apis.run_folder import run_folder
from tests.tools.output import error

NET = {"type": "ToyConvNet"}
STEPS = {"type": "CubicSchedule", "begin": 2, "end": 10, "interval": 4}


@pytest.fixture
def net(toy_config, tmp_path):
    """Return a config and weights."""
    torch.manual_seed(0)
    torch.save(ToyConvNet().state_dict(), tmp_path / "net.pth")
    return toy_config(model=NET), "net.pth"


def command_in(output):
    """Return the tool and the arguments of the command in the last line."""
    assert "Traceback" not in output, output
    last = output.strip().splitlines()[-1]
    assert last.startswith("Stopped; "), output
    python, tool, *arguments = shlex.split(last.partition(": ")[2])
    assert python == "python"
    assert Path(tool).parent == ROOT / "tools"
    return Path(tool).name, *arguments


def processes_in(folder):
    """Return the processes that work in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if os.readlink(place) == str(folder):
                found.append(place.parent.name)
        except OSError:  # it ended, or is not ours
            continue
    return found


def hidden_in(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".mmrazor")]


@pytest.mark.parametrize("by", ["SIGINT", "SIGTERM"])
def test_training_goes_on_with_the_line(toy_config, run_tool, weights, tmp_path, by):
    config = toy_config(model=pruned(STEPS), by_epoch=False, num_workers=2)
    options = ("--work-dir", "my run", "--cfg-options", "randomness.seed=3")
    output = run_tool("train.py", config, *options, code=130, KILL="step:60", BY=by)
    end = time.monotonic() + 20
    while processes_in(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    assert processes_in(tmp_path) == []  # the workers of its loaders neither
    assert hidden_in(tmp_path) == []
    output = run_tool(*command_in(output))
    assert "resumed epoch: " in output
    assert weights("my run/iter_18.pth")


@pytest.mark.parametrize("kill", ["step:30", "write:3"])
def test_an_analysis_goes_on_with_the_same_command(net, run_tool, tmp_path, kill):
    tool = ("sensitivity.py", *net, "--image-size", 8, "--shares", 0.5, "--out", "o")
    output = run_tool(*tool, code=130, KILL=kill, BY="SIGINT")
    assert hidden_in(tmp_path) == []
    assert command_in(output) == tuple(map(str, tool))
    run_tool(*command_in(output))
    assert (tmp_path / "o/sensitivity.json").is_file()


@pytest.mark.parametrize("kill", ["step:3", "write:5"])
def test_a_set_that_is_stopped_leaves_nothing(net, run_tool, tmp_path, kill):
    tool = ("prune.py", *net, "--image-size", 8, "--budget", "macs=0.5", "--no-onnx")
    before = sorted(path.name for path in tmp_path.iterdir())
    output = run_tool(*tool, code=130, KILL=kill, BY="SIGTERM")
    assert "nothing of its result was written" in output
    assert command_in(output) == tuple(map(str, tool))
    (tmp_path / "output.txt").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("tool", "option", "more"),
    [
        ("train.py", "--work-dir", ()),
        ("train.py", "--work-dir", ("--resume",)),
        ("prune.py", "--work-dir", ("net.pth", "--budget", "macs=0.5")),
        ("sparsify.py", "--out-dir", ("net.pth",)),
        ("sensitivity.py", "--out", ("net.pth",)),
    ],
)
def test_a_second_run_is_refused_in_one_line(
    net, run_tool, tmp_path, tool, option, more
):
    folder = tmp_path / "[red] run"
    with run_folder(folder):
        before = [(path, path.read_bytes()) for path in folder.iterdir()]
        text = error(run_tool(tool, net[0], *more, option, folder.name, code=1))
        assert [(path, path.read_bytes()) for path in folder.iterdir()] == before
    assert text.startswith(f"error: '{folder.name}' is in use by another run: process ")
    assert text.endswith(f"another folder: {option} '{folder.name}_2'.")


@pytest.mark.dist
@pytest.mark.slow  # torchrun waits for the rank that is not refused
def test_the_ranks_of_one_run_share_a_folder(
    toy_config, run_tool, run_ranks, tmp_path, free_port
):
    config = toy_config(world_size=2)
    run_ranks("train.py", config, "--work-dir", "run")
    assert (tmp_path / "run/epoch_3.pth").is_file()
    assert hidden_in(tmp_path) == []
    with run_folder(tmp_path / "run"):
        tool = ("dist_train.sh", config, 2, "--work-dir", "run")
        output = run_tool(*tool, code=1, PORT=free_port)
    assert "error: 'run' is in use by another run: process " in output
