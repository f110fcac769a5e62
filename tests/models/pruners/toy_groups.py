"""Channel groups of small networks, with the slots written down by hand."""

from __future__ import annotations

import torch
from torch import nn

from mmrazor.core.graph.channel_group import ChannelGroup, Slot


def one_each(count: int) -> torch.Tensor:
    return torch.arange(count)[:, None]


def toy_model(seed: int = 0) -> nn.Sequential:
    """Runs on images of 2 x 3 x 3."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 3, 2),  # 3 x 2 x 2
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.ConvTranspose2d(3, 4, 1),  # 4 x 2 x 2
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.Linear(6, 2),
    )


def toy_groups(model: nn.Module) -> dict[str, ChannelGroup]:
    """Between the convolutions, to the linear layer, and three 'heads' of two."""
    conv, flat = one_each(3), torch.arange(16).reshape(4, 4)
    deconv, heads = one_each(4), torch.tensor([[0, 1], [2, 3], [4, 5]])
    slots = {
        "conv.out": (
            Slot("0.weight", 0, conv, "out"),
            Slot("0.bias", 0, conv, "shift"),
            Slot("1.weight", 0, conv, "scale"),
            Slot("1.bias", 0, conv, "shift"),
            Slot("1.running_mean", 0, conv, "statistic"),
            Slot("1.running_var", 0, conv, "statistic"),
            Slot("3.weight", 0, conv, "in"),
        ),
        "deconv.out": (
            Slot("3.weight", 1, deconv, "out"),
            Slot("3.bias", 0, deconv, "shift"),
            Slot("6.weight", 1, flat, "in"),
        ),
        "heads": (
            Slot("6.weight", 0, heads, "out"),
            Slot("6.bias", 0, heads, "shift"),
            Slot("7.weight", 1, heads, "in"),
        ),
    }
    sizes = {"conv.out": 3, "deconv.out": 4, "heads": 3}
    return {name: ChannelGroup(name, sizes[name], slots[name], model) for name in slots}


def residual_group(first: list[list[float]], second: list[list[float]]) -> ChannelGroup:
    """Two layers whose outputs are added: one row of weights a channel in each."""
    layers = nn.ModuleDict()
    for name, weight in (("a", first), ("b", second)):
        layer = nn.Linear(len(weight[0]), len(weight), bias=False)
        layer.weight = nn.Parameter(torch.tensor(weight))
        layers[name] = layer
    size = len(first)
    slots = tuple(Slot(f"{n}.weight", 0, one_each(size), "out") for n in "ab")
    return ChannelGroup("sum", size, slots, layers)
