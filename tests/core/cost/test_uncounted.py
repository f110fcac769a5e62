from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.cost import warn_of_uncounted
from mmrazor.models.pruners import Pruner
from mmrazor.models.pruners.pruner import prune_model

INPUTS = torch.rand(2, 4)


class Spectral(nn.Sequential):
    """Multiplies in a way that nobody counts, and has a layer that can be pruned."""

    def forward(self, x: Tensor) -> Tensor:
        x = self[1](torch.fft.rfft(self[0](x)).real)
        return self[2](x.relu())


def spectral() -> Spectral:
    return Spectral(nn.Linear(4, 8), nn.Linear(5, 8), nn.Linear(8, 3))


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []

    def note(message: str, logger: str = "", level: int = logging.INFO) -> None:
        if level == logging.WARNING and "leave out" in message:
            found.append(message)

    monkeypatch.setattr("mmrazor.core.cost.uncounted.print_log", note)
    return found


def test_names_and_numbers_are_said(warnings: list[str]) -> None:
    warn_of_uncounted({"aten.b": 1, "aten.a": 3}, "Net")
    assert "The MACs of Net leave out aten.a (3x), aten.b (1x), which" in warnings[0]


def test_nothing_is_said_of_nothing(warnings: list[str]) -> None:
    warn_of_uncounted({}, "Net")
    assert not warnings


def test_long_lists_are_cut_short(warnings: list[str]) -> None:
    warn_of_uncounted({f"op{i}": 1 for i in range(9)}, "Net")
    assert "op5 (1x) and 3 more, which" in warnings[0]


def test_a_budget_of_macs_warns_once(warnings: list[str]) -> None:
    prune_model(spectral(), INPUTS, {"macs": 0.9})
    assert len(warnings) == 1
    assert "MACs of Spectral leave out aten._fft_r2c (1x)" in warnings[0]


def test_a_budget_of_parameters_does_not(warnings: list[str]) -> None:
    prune_model(spectral(), INPUTS, {"params": 0.9})
    assert not warnings


def test_pruning_while_training_warns(warnings: list[str]) -> None:
    schedule = {"type": "LinearSchedule", "begin": 0, "end": 2}
    pruner = Pruner({"macs": 0.9}, inputs=INPUTS, schedule=schedule)
    model = pruner(spectral())
    pruner.prepare(model)
    pruner.decide(model, 1.0)
    assert len(warnings) == 1
    assert "aten._fft_r2c (1x)" in warnings[0]
