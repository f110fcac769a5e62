"""DMCP in runs: killed and resumed, in two processes, within the budget in the end."""

import pytest
import torch
from compared_runs import assert_close
from conftest import pruned
from toy_prune import ToyConvNet

from mmrazor.apis import load_subnet
from mmrazor.core.space import Subnet

SEARCH = {"type": "LinearSchedule", "begin": 3, "end": 10}
KD = {"type": "KLDivergence", "student": "output:last", "teacher": "output:last"}


def searched(schedule=SEARCH, **architecture):
    model = {
        "type": "mmrazor.DMCP",
        "architecture": {"type": "ToyConvNet", **architecture},
        "pruner": {
            "type": "DMCPPruner",
            "budget": {"macs": 0.4},
            "image_size": [8, 8],
            "schedule": schedule,
            "levels": 4,
        },
        "self_distiller": {"losses": {"kd": KD}},
        "alpha_lr": 0.3,
        "cost_weight": 1.0,
    }
    teacher = pruned(schedule)
    return {**model, "teacher": teacher["teacher"], "distiller": teacher["distiller"]}


@pytest.mark.parametrize(
    "by_epoch",
    [
        pytest.param(False, id="by step"),
        pytest.param(True, id="by epoch", marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_point_and_resumed_equals_uninterrupted(
    toy_config, killed_and_resumed, tmp_path, by_epoch
):
    epochs = {**SEARCH, "begin": 0, "end": 2, "by_epoch": True}
    config = toy_config(
        model=searched(epochs if by_epoch else SEARCH), by_epoch=by_epoch
    )
    # in the search, in the fine-tuning
    kills, last = ([8], "epoch_3.pth") if by_epoch else ([7, 11], "iter_18.pth")
    whole = killed_and_resumed(config, kills, last)
    assert whole["model architecture.first.weight"].shape[0] < 8
    assert float(whole["model chains.adam_steps"]) == (12 if by_epoch else 7)
    subnet = Subnet.load(tmp_path / "whole/subnet.yaml")
    dense = 64 * (27 * 8 + 9 * 64) + 16
    assert 0.2 * dense < subnet.cost["macs"] <= 0.4 * dense


def test_what_is_left_is_tested_and_rebuilt(toy_config, run_tool, weights, tmp_path):
    config = toy_config(model=searched(), by_epoch=False)
    run_tool("train.py", config, "--work-dir", "run")
    for name in ("iter_5", "iter_18", "pruned"):  # supernet, pruned, bare
        assert "accuracy: " in run_tool("test.py", config, f"run/{name}.pth")
    small = load_subnet(
        ToyConvNet(), tmp_path / "run/subnet.yaml", tmp_path / "run/pruned.pth"
    )
    stored = torch.load(tmp_path / "run/pruned.pth", weights_only=True)["state_dict"]
    for name, value in small.state_dict().items():
        assert torch.equal(value, stored[name])


@pytest.mark.slow
@pytest.mark.dist
def test_two_processes_search_alike_and_as_one_does(one_and_two_processes):
    first, alone = one_and_two_processes(searched())
    assert first["model architecture.first.weight"].shape[0] < 8
    first, alone = (
        {name: value for name, value in found.items() if name.startswith("model ")}
        for found in (first, alone)
    )
    assert_close(first, alone, rtol=1e-4, atol=1e-5)
