"""tools/prune.py as a user runs it, and what may be done with its files."""

import json

import pytest
import torch

from mmrazor.core.graph.cuts import Cuts
from mmrazor.core.space import Subnet
from tests.tools.output import error
from tests.tools.test_hosts import CONFIG, classifier  # noqa: F401

pytest.importorskip("mmpretrain")

WORK = "work_dirs/net/pruned"
SHORT = ("train_cfg.max_epochs=1",)
ONE_EPOCH = ("--cfg-options", "train_cfg.max_epochs=1", "custom_hooks=[]")


@pytest.fixture
def net(classifier):  # noqa: F811
    """Return the config of a classifier, with its images beside it."""
    return classifier


def test_prune_train_export_test(net, run_tool, tmp_path):
    output = run_tool(
        *("prune.py", net, "--budget", "macs=0.5", "params=0.8", "--divisor", 2),
        *("--no-onnx", "--min-keep", "0.1"),
        COLUMNS="160",
    )
    assert "No checkpoint: the weights are random" in output
    assert "Channels of ImageClassifier" in output
    assert "backbone.layer1.0.conv1.out" in output
    assert f"python tools/train.py {WORK}/net_pruned.py" in output
    pruned = torch.load(tmp_path / WORK / "net_pruned.pth", weights_only=True)
    size = pruned["state_dict"]["backbone.conv1.weight"].shape[0]
    assert size < 8
    assert size % 2 == 0

    slow = "optim_wrapper.optimizer.lr=1e-7"
    output = run_tool("train.py", f"{WORK}/net_pruned.py", *ONE_EPOCH, slow)
    assert "ImageClassifier: 4 steps" in output
    trained = "work_dirs/net_pruned/epoch_1.pth"
    state = torch.load(tmp_path / trained, weights_only=False)["state_dict"]
    # It started from the pruned weights and went on.
    assert list(state) == list(pruned["state_dict"])
    first = {k: v for k, v in pruned["state_dict"].items() if k.endswith("weight")}
    assert all(state[k].allclose(v, atol=1e-4) for k, v in first.items())
    assert not all(state[k].equal(v) for k, v in first.items())

    run_tool("export.py", f"{WORK}/net_pruned.py", trained, "--no-onnx")
    exported = "work_dirs/net_pruned/export/net_pruned"
    run_tool("test.py", f"{exported}.py", f"{exported}.pth", "--out", "metrics.json")
    tested = json.loads((tmp_path / "metrics.json").read_text())["accuracy/top1"]
    row = next(line for line in output.splitlines() if "accuracy/top1 " in line)
    assert f"{tested:.4g}" in row


KEPT = [0, 2, 3, 5, 6]


def toy_subnet():
    """Return the Subnet of a ToyModel with five of its eight channels."""
    norm = ("weight", "bias", "running_mean", "running_var")
    cuts = Cuts(
        {
            "first.weight": {0: KEPT},
            "first.bias": {0: KEPT},
            **{f"norm.{name}": {0: KEPT} for name in norm},
            "last.weight": {1: KEPT},
        },
        {
            "first": {"out_features": 5},
            "norm": {"num_features": 5},
            "last": {"in_features": 5},
        },
    )
    return Subnet("3f2a91c0", {"first.out": KEPT}, cuts.to_dict())


def test_a_pruned_model_is_averaged_killed_and_resumed(
    toy_config, run_tool, weights, tmp_path
):
    toy_subnet().dump(tmp_path / "subnet.yaml")
    spec = {
        "_delete_": True,
        "type": "mmrazor.SubnetModel",
        "architecture": {"type": "ToyModel"},
        "subnet": "subnet.yaml",
    }
    config = toy_config({"model": spec})
    run_tool("train.py", config, "--work-dir", "whole")
    run_tool("train.py", config, "--work-dir", "cut", code=-9, TOY_KILL_AT="9")
    output = run_tool("train.py", config, "--work-dir", "cut", "--resume")
    assert "resumed epoch: 1, iter: 6" in output
    whole, cut = weights("whole/epoch_3.pth"), weights("cut/epoch_3.pth")
    assert whole.keys() == cut.keys()
    assert all(whole[name].equal(cut[name]) for name in whole)
    assert whole["model first.weight"].shape == (5, 6)
    assert whole["ema module.first.weight"].shape == (5, 6)
    # Nothing in the file says that it was pruned.
    plain = toy_config(name="plain.py")
    run_tool("train.py", plain, "--work-dir", "dense", "--cfg-options", *SHORT)
    names = [name for name in weights("dense/epoch_1.pth") if name.startswith("model")]
    assert names == [name for name in whole if name.startswith("model")]


@pytest.mark.dist
def test_two_processes_train_a_pruned_model(toy_config, run_ranks, weights, tmp_path):
    toy_subnet().dump(tmp_path / "subnet.yaml")
    spec = {
        "_delete_": True,
        "type": "mmrazor.SubnetModel",
        "architecture": {"type": "ToyModel"},
        "subnet": "subnet.yaml",
    }
    config = toy_config({"model": spec, "train_cfg.max_epochs": 1}, world_size=2)
    run_ranks("train.py", config, "--work-dir", "two")
    assert weights("two/epoch_1.pth")["model last.weight"].shape == (2, 5)


def test_errors_are_one_line_before_anything_is_built(toy_config, run_tool):
    config = toy_config()
    text = error(run_tool("prune.py", config, "--budget", "macs:0.5", code=1))
    assert text.startswith("error: --budget 'macs:0.5' is not NAME=NUMBER. Write macs")
    text = error(run_tool("prune.py", config, "--budget", "flops=0.5", code=1))
    assert text.startswith("error: The budget has 'flops'; it may have ['macs'")
    args = ("--budget", "macs=0.5", "--importance", "L4Importance")
    text = error(run_tool("prune.py", config, *args, code=1))
    assert "'L4Importance' is no importance. Near names: " in text
    args = ("--budget", "macs=0.5", "--importance", "open('a')")
    text = error(run_tool("prune.py", config, *args, code=1))
    assert "is no name and no dict of plain values" in text


def test_errors_of_the_model_are_one_line(net, run_tool, tmp_path):
    prune = ("prune.py", net, "--no-onnx", "--budget")
    text = error(run_tool(*prune, "macs=0.001", code=1))
    assert "No counts of kept units meet the budget: macs is at least" in text
    assert "Most of it is in groups 'backbone." in text
    text = error(run_tool(*prune, "macs=0.5", "--divisor", 512, code=1))
    assert "divisor 512 is larger than group" in text
    text = error(run_tool(*prune, "macs=0.5", "--ignore", "backbone", "head", code=1))
    assert "Nothing in ImageClassifier can be pruned" in text
    text = error(run_tool("prune.py", net, "gone.pth", "--budget", "macs=1", code=1))
    assert "There is no checkpoint file 'gone.pth'" in text
    assert not (tmp_path / "work_dirs").exists()


def test_faults_of_a_pruned_config_are_one_line(toy_config, run_tool, tmp_path):
    spec = {
        "_delete_": True,
        "type": "mmrazor.SubnetModel",
        "architecture": {"type": "ToyModel"},
        "subnet": "subnet.yaml",
    }
    config = toy_config({"model": spec})
    text = error(run_tool("train.py", config, code=1))
    assert text == (
        "error: There is no subnet file 'subnet.yaml'. tools/prune.py writes it."
    )
    subnet = toy_subnet()
    wrong = {**subnet.slots, "shapes": {"first.weight": [9, 6]}}
    Subnet(subnet.space, subnet.choices, wrong).dump(tmp_path / "subnet.yaml")
    text = error(run_tool("train.py", config, code=1))
    assert "Subnet 'subnet.yaml' was made for another model than this ToyModel" in text
    assert "first.weight is [8, 6] in the model and was [9, 6]" in text
    subnet.dump(tmp_path / "subnet.yaml")
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    options = ("--cfg-options", "model.checkpoint=other.pth")
    text = error(run_tool("train.py", config, *options, code=1))
    assert "Checkpoint 'other.pth' does not fit ToyModel" in text
