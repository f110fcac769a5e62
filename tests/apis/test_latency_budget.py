"""The search for a latency, with a clock that counts MACs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import mmrazor
from mmrazor.apis import latency_budget
from mmrazor.apis.latency_budget import latency_on, prune_to_budget
from mmrazor.core.cost import count_cost
from mmrazor.core.graph import channel_graph
from mmrazor.models.pruners import BudgetError

INPUTS = torch.rand(1, 8)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 200), nn.ReLU(), nn.Linear(200, 10))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let a millisecond be 100 MACs, and 5 ms go by in any case."""
    times: list[float] = []

    def measured(device: Any, model: nn.Module, inputs: Any) -> float:
        times.append(5 + count_cost(model, inputs).macs / 100)
        return times[-1]

    monkeypatch.setattr(latency_budget, "latency_on", measured)
    return times


def pruned(net: nn.Module, budget: dict[str, Any], **options: Any):
    return prune_to_budget(channel_graph(net, INPUTS), INPUTS, budget, **options)


def test_the_largest_model_that_is_fast_enough(net: nn.Module, clock) -> None:
    counted = []
    found = pruned(
        net, dict(latency_ms=20.0), advance=lambda: counted.append(1)
    )  # dense: 5 + 36
    assert 20.0 * 0.98 <= found.subnet.cost["latency_ms"] <= 20.0
    assert found.subnet.cost["latency_ms"] == 5 + found.cost.macs / 100
    assert found.subnet.cost["macs"] == found.cost.macs
    assert len(counted) == len(clock) <= 10


def test_a_fraction_and_other_bounds(net: nn.Module, clock) -> None:
    half = pruned(net, dict(latency_ms=0.5))
    assert 0.98 * 20.5 <= half.subnet.cost["latency_ms"] <= 20.5
    both = pruned(net, dict(latency_ms=0.5, params=500))
    assert both.cost.params <= 500
    # The other bound holds it below the latency already.
    assert both.subnet.cost["latency_ms"] < 15
    loose = pruned(net, dict(latency_ms=0.5, macs=0.9))
    assert 0.95 * 20.5 <= loose.subnet.cost["latency_ms"] <= 20.5
    full = pruned(net, dict(latency_ms=1.0))
    assert full.cost.macs == full.dense_cost.macs


def test_what_cannot_be_reached_is_said(net: nn.Module, clock) -> None:
    with pytest.raises(
        BudgetError,
        match=r"latency_ms is at least 5.72 \(14.0% of 41 dense\) and may be 5.5, .*"
        r"'0.out' \(4 of 200 units\)",
    ) as info:
        pruned(net, dict(latency_ms=5.5), min_keep=4)
    assert info.value.minimum == {"latency_ms": 5.72}
    with pytest.raises(ValueError, match="under the budget's low end, 30 ms"):
        pruned(net, dict(latency_ms=(30.0, 40.0), macs=0.5))


def test_the_door_measures_for_real(net: nn.Module) -> None:
    found = mmrazor.prune(net, INPUTS, budget=dict(latency_ms=60_000.0, macs=0.5))
    assert found.cost.macs <= found.dense_cost.macs / 2
    assert 0 < found.subnet.cost["latency_ms"] < 60_000


def test_inputs_and_model_go_to_the_device(net: nn.Module) -> None:
    assert latency_on("cpu", net, INPUTS) > 0
    # A device that computes nothing takes everything nested in the inputs along.
    moved = latency_budget._moved({"a": [INPUTS, ("b", 2)]}, "meta")
    assert moved["a"][0].device.type == "meta"
    assert moved["a"][1] == ("b", 2)
