"""Groups that break something else than inference are frozen too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.graph import channel_graph, checked_slimming
from mmrazor.core.graph.channel_graph import ChannelGraph


class Net(nn.Module):
    """Adds noise of a fixed width in training, which no trace sees."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.first = nn.Linear(4, width)
        self.second = nn.Linear(width, 8)
        self.last = nn.Linear(8, 2)
        self.noise = torch.ones(width)

    def forward(self, input: Tensor) -> Tensor:
        hidden = self.first(input).relu()
        if self.training:
            hidden = hidden + self.noise
        return self.last(self.second(hidden).relu())


def half(graph: ChannelGraph) -> dict[str, Any]:
    return {group.name: range(group.size // 2) for group in graph.groups}


def train_once(model: nn.Module) -> None:
    model.train()(torch.ones(1, 4)).sum().backward()


def test_what_breaks_training_is_frozen_and_the_rest_goes_on() -> None:
    inputs = torch.rand(2, 4)
    plain = checked_slimming(channel_graph(Net(), inputs), half, inputs)
    assert plain.model.first.out_features == 3
    with pytest.raises(RuntimeError, match="size of tensor"):
        train_once(plain.model)

    graph = channel_graph(Net(), inputs)
    checked = checked_slimming(graph, half, inputs, trial=train_once)
    assert (checked.model.first.out_features, checked.model.last.in_features) == (6, 4)
    assert list(checked.kept) == ["second.out"]
    reason = graph.unprunable["first.out"]
    assert reason.startswith("breaks the model (RuntimeError: The size of tensor a (3)")
    train_once(checked.model)


def test_a_trial_that_nothing_passes_is_an_error() -> None:
    def never(model: nn.Module) -> None:
        raise ValueError("no data")

    inputs = torch.rand(2, 4)
    graph = channel_graph(Net(), inputs)
    with pytest.raises(ValueError, match="nothing left"):
        checked_slimming(graph, _refusing(graph), inputs, trial=never)


def _refusing(graph: ChannelGraph):
    def choose(current: ChannelGraph) -> dict[str, Any]:
        if not current.groups:
            raise ValueError("nothing left")
        return half(current)

    return choose
