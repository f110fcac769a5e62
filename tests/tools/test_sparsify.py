"""Prune, train on, kill and resume from the command line."""

import json

import pytest
import torch

PRUNER = {"type": "mmrazor.SemiStructuredPruner", "n": 1, "m": 2}
HOOKS = [
    {"type": "KillHook"},
    {"type": "EMAHook"},
    {"type": "mmrazor.KeepSparsityHook"},
]


@pytest.fixture
def sparse_config(toy_config):
    """Return a function that writes the config of a pruned Algorithm."""

    def write(name="sparse.py", checkpoint=None, **kwargs):
        architecture = {"type": "ToyModel"}
        if checkpoint is not None:
            architecture["checkpoint"] = checkpoint
        model = {
            "_delete_": True,
            "type": "mmrazor.Algorithm",
            "architecture": architecture,
            "pruner": PRUNER,
        }
        return toy_config({"model": model, "custom_hooks": HOOKS}, name, **kwargs)

    return write


def zeros(tensors):
    return {
        name.rpartition(" ")[2].removeprefix("module."): value == 0
        for name, value in tensors.items()
        if name.endswith(("first.weight", "last.weight"))
    }


def test_prune_train_test(toy_config, sparse_config, run_tool, weights, tmp_path):
    run_tool("train.py", toy_config(), "--work-dir", "dense")
    output = run_tool(
        *("sparsify.py", sparse_config(), "dense/epoch_3.pth", "--method", "sparsegpt"),
        *("--calib-batches", 3),
    )
    assert "1:2 by sparsegpt in 2 layers" in output
    assert "calibration batches: 3" in output
    pruned = weights("dense/sparse/sparse_sparsegpt.pth")
    wanted = zeros(pruned)
    assert all(mask.view(-1, 2).sum(1).eq(1).all() for mask in wanted.values())
    report = json.loads((tmp_path / "dense/sparse/sparse_sparsegpt.json").read_text())
    assert [layer["name"] for layer in report["layers"]] == [
        "first.weight",
        "last.weight",
    ]
    run_tool("test.py", "toy.py", "dense/sparse/sparse_sparsegpt.pth")
    config = sparse_config("tune.py", "dense/sparse/sparse_sparsegpt.pth")
    run_tool("train.py", config, "--work-dir", "tuned")
    tuned = weights("tuned/epoch_3.pth")
    for part in ("model", "ema"):
        found = zeros({k: v for k, v in tuned.items() if k.startswith(part)})
        assert len(found) == 2
        for name, mask in found.items():
            assert mask.equal(wanted[name.removeprefix("architecture.")])
    first = "model architecture.first.weight"
    assert not tuned[first].equal(pruned["model first.weight"])


@pytest.mark.parametrize(
    "by_epoch", [pytest.param(True, marks=pytest.mark.slow), False]
)
def test_killed_and_resumed_equals_uninterrupted(
    sparse_config, run_tool, weights, by_epoch
):
    config = sparse_config(by_epoch=by_epoch)
    run_tool("train.py", config, "--work-dir", "whole")
    run_tool("train.py", config, "--work-dir", "cut", code=-9, TOY_KILL_AT="8")
    run_tool("train.py", config, "--work-dir", "cut", "--resume")
    last = "epoch_3.pth" if by_epoch else "iter_18.pth"
    first, second = weights(f"whole/{last}"), weights(f"cut/{last}")
    assert first.keys() == second.keys()
    assert all(second[name].equal(value) for name, value in first.items())
    assert all(m.view(-1, 2).sum(1).eq(1).all() for m in zeros(first).values())


@pytest.mark.dist
def test_two_processes_keep_one_pattern(sparse_config, run_ranks, weights):
    config = sparse_config(world_size=2)
    run_ranks("train.py", config, "--work-dir", "two")
    masks = zeros(weights("two/epoch_3.pth"))
    assert all(mask.view(-1, 2).sum(1).eq(1).all() for mask in masks.values())


def test_errors_are_one_line(toy_config, run_tool, tmp_path):
    torch.save({"state_dict": {"a": torch.ones(1)}}, tmp_path / "a.pth")
    config = toy_config()
    output = run_tool("sparsify.py", config, "b.pth", code=1)
    assert "error: There is no checkpoint file 'b.pth'" in output
    output = run_tool("sparsify.py", config, "a.pth", code=1)
    assert "does not fit ToyModel" in output
    run_tool("train.py", config, "--work-dir", "w")
    output = run_tool("sparsify.py", config, "w/epoch_1.pth", "--m", 5, code=1)
    assert "No layer of ToyModel can have the 2:5 pattern" in output
    output = run_tool("sparsify.py", config, "w/epoch_1.pth", "--n", 5, code=1)
    assert "n=5, m=4 is no pattern" in output
    assert "Traceback" not in output
