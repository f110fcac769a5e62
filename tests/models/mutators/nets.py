"""Small networks whose spaces have everything that a space can have."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmrazor.models.mutables import (
    DiffChoiceRoute,
    DiffMutableOP,
    MutableDepth,
    MutableValue,
    OneShotMutableOP,
)


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


def choice(inputs: int, outputs: int, name: str | None = None) -> OneShotMutableOP:
    kernels = {f"k{k}": conv(inputs, outputs, k) for k in (1, 3)}
    return OneShotMutableOP(kernels, name)


class Sliced(nn.Module):
    """A convolution that runs with so many of its outputs; the others are zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels)
        self.width = MutableValue([2, 4])

    def forward(self, value: Tensor) -> Tensor:
        weight, bias = (p[: self.width()] for p in self.conv.parameters())
        out = nn.functional.conv2d(value, weight, bias, padding=1)
        return torch.cat([out, torch.zeros_like(value)[:, self.width() :]], 1)


class Everything(nn.Module):
    """Operations in a stage of variable depth, inside of one another, tied, weighed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = choice(3, 4, "shared")
        self.stage = MutableDepth([choice(4, 4) for _ in range(3)], [1, 2, 3])
        self.outer = OneShotMutableOP(
            {"inner": nn.Sequential(choice(4, 4), nn.ReLU()), "none": nn.Identity()}
        )
        self.tied = choice(4, 4, "shared")
        self.sliced = Sliced(4)
        edges = [DiffMutableOP({"a": conv(4, 4, 1), "b": conv(4, 4)}) for _ in range(3)]
        self.route = DiffChoiceRoute(edges, num_chosen=2)
        self.fc = nn.Linear(4, 2)

    def forward(self, image: Tensor) -> Tensor:
        first = self.stage(self.stem(image))
        second = self.tied(self.outer(first))
        last = self.route([first, second, self.sliced(second)])
        return self.fc(last.mean((2, 3)))


class Plain(nn.Module):
    """A network that knows of no search."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv(3, 4)
        self.layer1 = nn.Sequential(*[Block(4) for _ in range(3)])
        self.fc = nn.Linear(4, 2)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc(self.layer1(self.conv1(image)).mean((2, 3)))


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)

    def forward(self, value: Tensor) -> Tensor:
        return value + self.conv2(self.conv1(value).relu())
