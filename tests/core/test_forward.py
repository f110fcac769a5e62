from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.forward import (
    as_in_training,
    call_model,
    evaluating,
    examples_of,
    forget_caches_,
    keeping_state,
    without_fused_layers,
)


def test_ways_to_call() -> None:
    bilinear = nn.Bilinear(2, 2, 1)
    a, b = torch.ones(1, 2), torch.zeros(1, 2)
    expected = bilinear(a, b)
    assert torch.equal(call_model(bilinear, (a, b)), expected)
    assert torch.equal(call_model(bilinear, {"input2": b, "input1": a}), expected)
    assert torch.equal(call_model(nn.Identity(), a), a)


def test_each_mode_comes_back_also_after_an_error() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout())
    model[0].eval()  # frozen by its user

    def fail() -> None:
        with evaluating(model):
            assert not model[1].training
            assert not torch.is_grad_enabled()
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail()
    assert [m.training for m in model.modules()] == [True, False, True]
    assert torch.is_grad_enabled()


class Table(nn.Module):
    """Makes its table anew for inputs of another size, as position encodings do."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 2
        self.register_buffer("table", torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        if len(x) != self.size:
            self.size, self.cache = len(x), x
            self.register_buffer("table", torch.ones(len(x)), persistent=False)
            self.extra = nn.Linear(1, 1)
        return x + self.table


def test_what_the_code_stored_while_it_ran_goes() -> None:
    model = nn.Sequential(Table())
    with evaluating(model):
        assert len(model(torch.zeros(5))) == 5
    assert (model[0].size, hasattr(model[0], "cache")) == (2, False)
    assert {k: len(v) for k, v in model.state_dict().items()} == {"0.table": 2}


class Freezing(nn.Sequential):
    """Freezes its first layer whenever it is put into train mode, as hosts do."""

    def train(self, mode: bool = True) -> Freezing:
        super().train(mode)
        self[0].requires_grad_(False)
        return self


def test_train_mode_without_what_makes_it_random() -> None:
    model = Freezing(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()).eval()
    model[0].requires_grad_(True)
    mean = model[1].running_mean.clone()
    x = torch.rand(1, 2)
    expected = model(x)
    with as_in_training(model):
        assert model.training
        assert model[0].training
        assert not model[0].weight.requires_grad
        assert torch.equal(model(x), expected)
    assert not any(module.training for module in model.modules())
    assert model[0].weight.requires_grad
    assert torch.equal(model[1].running_mean, mean)


def test_fused_layers_come_back() -> None:
    with without_fused_layers():
        assert not torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_runs_change_in_tensors_is_undone() -> None:
    layer = nn.BatchNorm1d(3)
    layer.weight.data[0] = float("nan")
    values = {k: v.clone() for k, v in layer.state_dict().items()}
    storage = layer.bias.data_ptr()
    drawn = []
    for _ in range(2):
        with keeping_state(layer):
            layer.running_mean.add_(1)
            layer.weight.data.mul_(2)
            layer.bias.data = torch.ones(5)
            drawn.append((torch.rand(()).item(), random.random(), np.random.rand()))
    for name, tensor in layer.state_dict().items():
        torch.testing.assert_close(tensor, values[name], equal_nan=True)
    assert layer.bias.data_ptr() == storage
    assert drawn[0] == drawn[1]


def test_a_list_is_several_example_inputs() -> None:
    pair = (torch.zeros(1), torch.zeros(2))
    assert examples_of(pair) == [pair]
    assert examples_of([pair, {"x": 1}]) == [pair, {"x": 1}]
    with pytest.raises(ValueError, match="Give at least one"):
        examples_of([])


class Kept(nn.Module):
    """Fills a dict in eval mode, and one of plain numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[str, Tensor] = {}
        self.counts = {"calls": 0}

    def train(self, mode: bool = True) -> Kept:
        if mode:
            self.cache = {}
        return super().train(mode)  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        self.counts["calls"] += 1
        return self.cache.setdefault("x", x + 1)


def test_dicts_that_a_run_fills_are_as_before() -> None:
    model = nn.Sequential(Kept())
    with evaluating(model):
        assert model(torch.ones(1)).item() == 2
        assert model[0].cache
    assert model[0].cache == {}
    assert model[0].counts == {"calls": 0}
    assert model.training


def test_a_run_begins_without_what_was_kept() -> None:
    model = nn.Sequential(Kept(), nn.BatchNorm1d(2)).eval()
    model[1].train()
    model[0](torch.ones(1))
    kept = model[0].cache
    with evaluating(model):
        assert model[0](torch.zeros(1)).item() == 1
    assert model[0].cache is kept
    assert kept["x"].item() == 2
    forget_caches_(model)
    assert model[0].cache == {}
    assert [m.training for m in model.modules()] == [False, False, True]
