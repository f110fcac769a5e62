"""Pruning while training: killed and resumed, distributed, tested, exported."""

import pytest
import torch
from compared_runs import assert_close
from conftest import pruned
from toy_prune import ToyConvNet

from mmrazor.apis import init_model, load_subnet
from tests.tools.output import error

STEPS = {"type": "CubicSchedule", "begin": 2, "end": 10, "interval": 4}
EPOCHS = {"type": "LinearSchedule", "begin": 0, "end": 2, "interval": 1}
ADAM = {"optim_wrapper.optimizer": {"_delete_": True, "type": "Adam", "lr": 0.01}}


def slimmed_by_scales(schedule):
    model = pruned(schedule, "BNScaleImportance")
    return {**model, "type": "mmrazor.NetworkSlimming", "sparsity_weight": 0.01}


# Prunings by step come before steps 6 and 10, by epoch before steps 6 and 12;
# checkpoints after steps 5, 10 and 15, or 6 and 12.
CASES = {
    "L1, by step": (
        [6, 8, 11],
        {"model": pruned(STEPS), "by_epoch": False, "num_workers": 1},
    ),
    "Taylor, by step": (
        [4, 9],  # while gradients are read
        {"model": pruned(STEPS, "TaylorImportance", num_batches=3), "by_epoch": False},
    ),
    "Fisher, by step": (
        [4, 9],  # while mask gradients are read
        {"model": pruned(STEPS, "FisherImportance", num_batches=3), "by_epoch": False},
    ),
    "slimming, by epoch, Adam": (
        [8, 13],
        {"model": slimmed_by_scales({**EPOCHS, "by_epoch": True}), "options": ADAM},
    ),
}


SLOW = ("Taylor, by step", "Fisher, by step", "slimming, by epoch, Adam")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in CASES
    ],
)
def test_killed_at_any_point_and_resumed_equals_uninterrupted(
    toy_config, killed_and_resumed, case
):
    kills, kwargs = CASES[case]
    last = "epoch_3.pth" if kwargs.get("by_epoch", True) else "iter_18.pth"
    whole = killed_and_resumed(toy_config(**kwargs), kills, last)
    assert {name.split()[0] for name in whole} > {"model", "ema"}
    assert whole["model architecture.first.weight"].shape[0] < 8


@pytest.mark.dist
@pytest.mark.parametrize(
    "importance",
    [
        *("L1Importance", "TaylorImportance", "FisherImportance"),
        "mmengine.RankImportance",
    ],
)
def test_two_processes_prune_alike_and_train_as_one_does(
    one_and_two_processes, importance
):
    first, alone = one_and_two_processes(pruned(STEPS, importance, num_batches=3))
    assert first["model architecture.first.weight"].shape[0] < 8
    assert_close(first, alone, rtol=1e-5, atol=1e-6)


def test_a_pruned_checkpoint_is_tested_exported_and_run(
    toy_config, run_tool, weights, tmp_path
):
    config = toy_config(model=pruned(STEPS), by_epoch=False)
    run_tool("train.py", config, "--work-dir", "run")
    checkpoints = [weights(f"run/iter_{i}.pth").values() for i in (5, 10, 18)]
    sizes = [sum(tensor.numel() for tensor in tensors) for tensors in checkpoints]
    assert sizes[0] > sizes[1] > sizes[2]
    for name in ("iter_5", "iter_10", "iter_18", "pruned"):
        output = run_tool("test.py", config, f"run/{name}.pth")
        assert "accuracy: " in output
    output = run_tool("export.py", config, "run/iter_18.pth", "--image-size", 8, 8)
    assert "toy_subnet.yaml" in " ".join(output.split())
    stored = weights("run/iter_18.pth")
    exported = torch.load(tmp_path / "run/export/toy.pth", weights_only=True)
    for name, value in exported["state_dict"].items():
        assert torch.equal(value, stored[f"model architecture.{name}"])
    again = run_tool("test.py", "run/export/toy.py", "run/export/toy.pth")
    assert again.count("accuracy: ") == 1
    assert (tmp_path / "run/export/toy.onnx").is_file()
    ready = init_model(tmp_path / config, tmp_path / "run/iter_18.pth")
    small = load_subnet(
        ToyConvNet(),
        tmp_path / "run/subnet.yaml",
        tmp_path / "run/pruned.pth",
    )
    for name, value in small.state_dict().items():
        assert torch.equal(value, exported["state_dict"][name])
        assert torch.equal(value, ready.state_dict()[name])


def test_another_config_s_checkpoint_is_refused(toy_config, run_tool):
    config = toy_config(model=pruned(STEPS), by_epoch=False)
    run_tool("train.py", config, "--work-dir", "run")
    wide = pruned(STEPS)
    wide["architecture"]["width"] = 10
    other = toy_config(name="wide.py", model=wide, by_epoch=False)
    text = error(run_tool("test.py", other, "run/iter_18.pth", code=1))
    assert "another model than this ToyConvNet" in text


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"budget": {"macs": 0.001}}, "macs is at least"),
        ({"schedule": {**STEPS, "end": 18}}, "there are 18 iterations"),
        ({"ignore": ["first", "last"]}, "Nothing in ToyConvNet can be pruned"),
    ],
)
def test_faults_end_in_one_line(toy_config, run_tool, settings, text):
    model = pruned(STEPS)
    model["pruner"].update(settings)
    config = toy_config(model=model, by_epoch=False)
    assert text in error(run_tool("train.py", config, code=1))
