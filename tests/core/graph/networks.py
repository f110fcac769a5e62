"""Networks assembled from blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ImageNet(nn.Module):
    """Blocks on feature maps, then a linear layer on the mean or on every pixel."""

    def __init__(
        self, blocks: Sequence[type[nn.Module]], width: int = 8, flat: bool = False
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(block(width) for block in blocks)
        self.flat = flat
        self.head = nn.Linear(width * 64 if flat else width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.flatten(1) if self.flat else x.mean((2, 3)))

    def inputs(self, seed: int = 0) -> Tensor:
        return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


class TokenNet(nn.Module):
    """Patches with positions, perhaps a class token, then blocks on tokens."""

    def __init__(
        self, blocks: Sequence[type[nn.Module]], width: int = 12, token: bool = False
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, 2, stride=2)
        self.token = nn.Parameter(torch.zeros(1, 1, width)) if token else None
        self.positions = nn.Parameter(torch.zeros(1, 16 + token, width))
        self.blocks = nn.ModuleList(block(width) for block in blocks)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = x + self.positions
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x.mean(1) if self.token is None else x[:, 0])

    def inputs(self, seed: int = 0) -> Tensor:
        return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


class Spatial(nn.Module):
    """Convolutions in one or three dims: dilated, grouped, depthwise, transposed."""

    def __init__(self, dims: int, groups: int, multiplier: int) -> None:
        super().__init__()
        conv = {1: nn.Conv1d, 3: nn.Conv3d}[dims]
        transposed = {1: nn.ConvTranspose1d, 3: nn.ConvTranspose3d}[dims]
        norm = {1: nn.BatchNorm1d, 3: nn.BatchNorm3d}[dims]
        self.dims = dims
        self.first = conv(2, 12, 3, padding=2, dilation=2)
        self.norm = norm(12)
        self.grouped = conv(12, 12 * multiplier, 3, padding=1, groups=groups)
        self.up = transposed(12 * multiplier, 6, 2, stride=2)
        self.depth = conv(6, 6, 3, groups=6, stride=2)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(self.norm(self.first(x)).relu()).relu()
        x = self.depth(self.up(x).relu())
        return self.head(x.flatten(2).mean(-1))

    def inputs(self, seed: int = 0) -> Tensor:
        size = (2, 2, *[5] * self.dims)
        return torch.randn(size, generator=torch.Generator().manual_seed(seed))
