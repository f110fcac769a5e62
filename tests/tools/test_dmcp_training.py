"""DMCP in runs: killed and resumed, in two processes, within the budget in the end."""

import pytest
import torch
from conftest import pruned
from test_resume import assert_same
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
    toy_config, run_tool, weights, tmp_path, by_epoch
):
    epochs = {**SEARCH, "begin": 0, "end": 2, "by_epoch": True}
    config = toy_config(
        model=searched(epochs if by_epoch else SEARCH), by_epoch=by_epoch
    )
    last = "epoch_3.pth" if by_epoch else "iter_18.pth"
    run_tool("train.py", config, "--work-dir", "whole")
    whole = weights(f"whole/{last}")
    assert whole["model architecture.first.weight"].shape[0] < 8
    assert float(whole["model chains.adam_steps"]) == (12 if by_epoch else 7)
    subnet = Subnet.load(tmp_path / "whole/subnet.yaml")
    dense = 64 * (27 * 8 + 9 * 64) + 16
    assert 0.2 * dense < subnet.cost["macs"] <= 0.4 * dense
    for at in [8] if by_epoch else [7, 11]:  # in the search, in the fine-tuning
        folder = f"cut{at}"
        run_tool("train.py", config, "--work-dir", folder, code=-9, TOY_KILL_AT=str(at))
        run_tool("train.py", config, "--work-dir", folder, "--resume")
        assert_same(whole, weights(f"{folder}/{last}"))
        files = [tmp_path / name / "subnet.yaml" for name in ("whole", folder)]
        assert files[0].read_text() == files[1].read_text()


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


@pytest.mark.dist
def test_two_processes_search_alike_and_as_one_does(
    toy_config, run_tool, run_ranks, tmp_path
):
    net = {"dropout": 0.0, "norm": "Identity"}  # nothing that depends on a part of it

    def config(name, world_size):
        hooks = [{"type": "EMAHook"}, {"type": "DumpHook"}]
        kwargs = {"by_epoch": False, "world_size": world_size, "model": searched(**net)}
        return toy_config({"custom_hooks": hooks}, name, **kwargs)

    def dumped(folder, rank):
        return torch.load(tmp_path / folder / f"rank{rank}.pt")["model"]

    run_tool("train.py", config("one.py", 1), "--work-dir", "one")
    run_ranks("train.py", config("two.py", 2), "--work-dir", "two")
    first, second, alone = dumped("two", 0), dumped("two", 1), dumped("one", 0)
    assert_same(first, second)
    assert first["architecture.first.weight"].shape[0] < 8
    assert alone.keys() == first.keys()
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5, msg=name)
