"""DCFF through the tools: killed and resumed, distributed, tested, exported."""

import pytest
import torch
from compared_runs import assert_close
from conftest import pruned
from toy_prune import ToyConvNet

from mmrazor.apis import init_model, load_subnet


def fused(**pruner):
    """Return the config of a DCFF run with a teacher."""
    model = pruned(None)
    settings = {"type": "DCFFPruner", "temperatures": [1, 4], "rate": 0.3}
    settings.update(budget={"macs": 0.4}, image_size=[8, 8], **pruner)
    return {**model, "type": "mmrazor.DCFF", "pruner": settings}


CASES = {
    "by step": ([6, 11], {"model": fused(by_epoch=False, interval=4)}, "iter_18"),
    "by epoch": ([8], {"model": fused()}, "epoch_3"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_point_and_resumed_equals_uninterrupted(
    toy_config, killed_and_resumed, case
):
    kills, kwargs, last = CASES[case]
    config = toy_config(**kwargs, by_epoch=case == "by epoch")
    whole = killed_and_resumed(config, kills, f"{last}.pth")
    assert whole["model architecture.first.weight"].shape[0] < 8


@pytest.mark.slow
@pytest.mark.dist
def test_two_processes_fuse_alike_and_train_as_one_does(one_and_two_processes):
    first, alone = one_and_two_processes(fused(by_epoch=False, interval=4))
    assert first["model architecture.first.weight"].shape[0] < 8
    assert_close(first, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("epoch", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_checkpoint_is_tested_exported_and_run(
    toy_config, run_tool, weights, tmp_path, epoch
):
    config = toy_config(model=fused())
    run_tool("train.py", config, "--work-dir", "run")
    for name in (f"epoch_{epoch}", "pruned"):
        assert "accuracy: " in run_tool("test.py", config, f"run/{name}.pth")
    path = f"run/epoch_{epoch}.pth"
    run_tool("export.py", config, path, "--image-size", 8, 8)
    stored = weights(path)
    exported = torch.load(tmp_path / "run/export/toy.pth", weights_only=True)
    for name, value in exported["state_dict"].items():
        assert torch.equal(value, stored[f"model architecture.{name}"])
    assert (tmp_path / "run/export/toy.onnx").is_file()
    ready = init_model(tmp_path / config, tmp_path / path).state_dict()
    assert all(torch.equal(ready[n], v) for n, v in exported["state_dict"].items())
    small = load_subnet(
        ToyConvNet(), tmp_path / "run/subnet.yaml", tmp_path / "run/pruned.pth"
    )
    if epoch == 3:
        found = small.state_dict()
        assert all(torch.equal(found[n], v) for n, v in exported["state_dict"].items())
