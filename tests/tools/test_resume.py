"""A run that was killed and resumed ends where an uninterrupted one does."""

import re

import pytest
import torch
from compared_runs import assert_same

EPOCHS = {"by_epoch": True}
STEPS = {"by_epoch": False}


@pytest.mark.parametrize(
    ("kwargs", "last"),
    [
        pytest.param({**EPOCHS}, "epoch_3.pth", id="epochs"),
        pytest.param({**EPOCHS, "num_workers": 2}, "epoch_3.pth", id="epochs-workers"),
        pytest.param(
            {**EPOCHS, "num_workers": 2, "persistent": True},
            "epoch_3.pth",
            id="epochs-persistent",
        ),
        pytest.param({**EPOCHS, "distil": True}, "epoch_3.pth", id="epochs-distil"),
        pytest.param({**STEPS}, "iter_18.pth", id="steps"),
        pytest.param(
            {**STEPS, "num_workers": 2, "persistent": True},
            "iter_18.pth",
            id="steps-persistent",
        ),
    ],
)
def test_killed_and_resumed_equals_uninterrupted(
    toy_config, run_tool, weights, kwargs, last
):
    config = toy_config(**kwargs)
    run_tool("train.py", config, "--work-dir", "whole")
    # Step 8 is the third of epoch 2, and lies behind the checkpoint of step 5.
    run_tool("train.py", config, "--work-dir", "cut", code=-9, TOY_KILL_AT="8")
    output = run_tool("train.py", config, "--work-dir", "cut", "--resume")
    assert re.search(r"resumed epoch: [01], iter: [56]\b", output)
    assert_same(weights(f"whole/{last}"), weights(f"cut/{last}"))


@pytest.mark.slow
@pytest.mark.dist
def test_two_processes_killed_and_resumed(toy_config, run_tool, weights, free_port):
    config = toy_config(num_workers=1, world_size=2)
    tool = ("dist_train.sh", config, 2)
    run_tool(*tool, "--work-dir", "whole", PORT=free_port)
    run_tool(*tool, "--work-dir", "cut", code=None, TOY_KILL_AT="8", PORT=free_port)
    output = run_tool(*tool, "--work-dir", "cut", "--resume", PORT=free_port)
    assert "resumed epoch: 1, iter: 6" in output
    assert_same(weights("whole/epoch_3.pth"), weights("cut/epoch_3.pth"))


@pytest.mark.gpu
def test_on_a_gpu_killed_and_resumed(toy_config, run_tool, weights):
    config = toy_config(num_workers=2)
    kwargs = {"fresh": True, "CUDA_VISIBLE_DEVICES": "0"}
    tool = ("train.py", config, "--amp")
    run_tool(*tool, "--work-dir", "whole", **kwargs)
    run_tool(*tool, "--work-dir", "cut", code=-9, TOY_KILL_AT="8", **kwargs)
    run_tool(*tool, "--work-dir", "cut", "--resume", **kwargs)
    assert_same(weights("whole/epoch_3.pth"), weights("cut/epoch_3.pth"))


def test_without_the_hook_a_resumed_run_drifts(toy_config, run_tool, weights):
    """Guards the tests above: the toy run really depends on the random state."""
    config = toy_config({"exact_resume": False})
    run_tool("train.py", config, "--work-dir", "whole")
    run_tool("train.py", config, "--work-dir", "cut", code=-9, TOY_KILL_AT="8")
    run_tool("train.py", config, "--work-dir", "cut", "--resume")
    whole, cut = weights("whole/epoch_3.pth"), weights("cut/epoch_3.pth")
    assert not torch.equal(whole["model first.weight"], cut["model first.weight"])


def test_a_seed_drawn_by_chance_is_resumed(toy_config, run_tool, weights):
    config = toy_config({"randomness.seed": None})
    run_tool("train.py", config, "--work-dir", "cut")
    whole = weights("cut/epoch_3.pth")
    run_tool("train.py", config, "--work-dir", "cut", "--resume", "cut/epoch_1.pth")
    assert_same(whole, weights("cut/epoch_3.pth"))
