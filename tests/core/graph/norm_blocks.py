"""Blocks with norms."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.core.graph.conv_blocks import conv


class GroupNormed(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 12)
        self.norm = nn.GroupNorm(4, 12)
        self.out = conv(12, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.conv(x)).relu())


class OneGroupNormed(GroupNormed):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.norm = nn.GroupNorm(1, 12)


class InstanceNormed(GroupNormed):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.norm = nn.InstanceNorm2d(12, affine=True)


class TrackedInstanceNormed(GroupNormed):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.norm = nn.InstanceNorm2d(12, affine=True, track_running_stats=True)


class GlobalResponseNorm(nn.Module):
    """ConvNeXt V2's norm: the mean over the channels of norms over space."""

    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 9)
        self.gamma = nn.Parameter(torch.ones(1, 9, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, 9, 1, 1))
        self.out = conv(9, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        size = torch.norm(x, p=2, dim=(2, 3), keepdim=True)
        share = size / (size.mean(dim=1, keepdim=True) + 1e-6)
        return self.out(self.gamma * (x * share) + self.beta + x)


class UnitLength(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 9)
        self.out = conv(9, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.normalize(self.conv(x), dim=1))


class ConvNeXt(nn.Module):
    prunable = ("widen",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depth = conv(width, width, 3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 10)
        self.narrow = nn.Linear(10, width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        y = self.narrow(F.gelu(self.widen(y))) * self.scale
        return x + y.permute(0, 3, 1, 2)
