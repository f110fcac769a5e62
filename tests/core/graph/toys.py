"""Small networks written on one line, and what their groups look like as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mmrazor.core.graph import ChannelGraph, ChannelGroup, channel_graph
from tests.core.graph.checking import check, with_random_values

AB = "a.weight[0] a.bias[0] o.weight[1]"  # made by a, read by o
OUTPUT = {"o.out": "is an output of the network"}


class Net(nn.Module):
    """Calls a function of itself and the inputs.

    Args:
        function: The forward pass.
        **parts: Modules, parameters and numbers that become attributes.
    """

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.function(self, *inputs, **named)


def net(function: Callable[..., Any], **parts: Any) -> Net:
    """Return a network with random values."""
    model = Net(function, **parts)
    with_random_values(model)
    return model


def conv(inputs: int, outputs: int, kernel: int = 1, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options)


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape))


def image(channels: int = 3, size: int = 6, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, channels, size, size, generator=generator)


def tokens(width: int = 4, length: int = 5, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, length, width, generator=generator)


def described(group: ChannelGroup) -> str:
    """Return size and slots: ``8: a.weight[0] b.weight[1]*4`` (4 for each channel)."""
    places = []
    for slot in group.slots:
        each = slot.indices.shape[1]
        times = f"*{each}" if each > 1 else ""
        places.append(f"{slot.name}[{slot.axis}]{times}")
    return f"{group.size}: {' '.join(places)}"


def groups_of(graph: ChannelGraph) -> dict[str, str]:
    return {group.name: described(group) for group in graph.groups}


class Cases:
    """Toy networks by name; calling it adds one."""

    def __init__(self) -> None:
        self._cases: dict[str, tuple] = {}

    def __call__(
        self,
        name: str,
        function: Callable[..., Any],
        groups: dict[str, str],
        unprunable: dict[str, str] | None = None,
        inputs: Tensor | None = None,
        **parts: Any,
    ) -> None:
        """Add a network.

        Args:
            name: What it is about.
            function: Its forward pass.
            groups: Expected groups as :func:`described`, by name.
            unprunable: Expected reasons or parts of them; by default ``OUTPUT``.
            inputs: By default :func:`image`.
            **parts: See :class:`Net`.
        """
        given = image() if inputs is None else inputs
        reasons = OUTPUT if unprunable is None else unprunable
        self._cases[name] = (function, parts, given, groups, reasons)

    def __getitem__(self, name: str) -> tuple:
        return self._cases[name]

    def names(self) -> list[str]:
        return list(self._cases)


def check_groups(cases: Cases, name: str) -> None:
    """Find the groups of a network, compare them, prune it and check that."""
    function, parts, inputs, groups, reasons = cases[name]
    model = net(function, **parts)
    graph = channel_graph(model, inputs)
    assert groups_of(graph) == groups
    assert graph.unprunable.keys() == reasons.keys()
    for place, reason in reasons.items():
        assert reason in graph.unprunable[place]
    if groups:
        check(model, inputs, 1)
