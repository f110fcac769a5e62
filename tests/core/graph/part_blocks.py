"""Blocks that split, join and shuffle channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.core.graph.conv_blocks import conv


class GatedConv(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 12)
        self.out = conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.conv(x).chunk(2, dim=1)
        return self.out(value * gate.sigmoid())


class Inception(nn.Module):
    prunable = ("a", "b", "c")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = conv(width, 3, 1)
        self.b = conv(width, 5)
        self.c = conv(width, 4, 1)
        self.norm = nn.BatchNorm2d(12)
        self.out = conv(12, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool2d(x, 3, 1, 1)
        x = torch.cat([self.a(x), self.b(x), self.c(pooled)], dim=1)
        return self.out(self.norm(x).relu())


class Dense(nn.Module):
    prunable = ("first", "second")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(width, 4)
        self.norm = nn.BatchNorm2d(width + 4)
        self.second = conv(width + 4, 4)
        self.out = conv(width + 8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.first(x)], 1)
        x = torch.cat([x, self.second(self.norm(x).relu())], 1)
        return self.out(x)


class UnequalSplit(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 10)
        self.left = conv(3, 4)
        self.out = conv(11, width, 1)
        self.sizes = (3, 7)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.conv(x).split(self.sizes, dim=1)
        return self.out(torch.cat([self.left(left).relu(), right], 1))


class PartialConv(nn.Module):
    """FasterNet's: only the first channels are convolved."""

    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 12)
        self.part = conv(3, 3)
        self.out = conv(12, width, 1)
        self.convolved = 3

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        first = self.part(x[:, : self.convolved])
        return self.out(torch.cat([first, x[:, self.convolved :]], 1).relu())


class ChannelShuffle(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 16, 1)
        self.grouped = conv(16, 16, groups=4)
        self.out = conv(16, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        batch, channels, height, width = x.shape
        x = x.view(batch, 4, channels // 4, height, width).transpose(1, 2)
        x = x.reshape(batch, channels, height, width)
        return self.out(self.grouped(x).relu())


class ShuffleUnit(nn.Module):
    """ShuffleNet V2's unit: half is kept, half is convolved, both are mixed."""

    prunable = ("stem",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = conv(width, 8, 1)
        self.inner = conv(4, 4)
        self.shuffle = nn.ChannelShuffle(2)
        self.out = conv(8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.stem(x).chunk(2, 1)
        x = torch.cat([left, self.inner(right).relu()], 1)
        return self.out(self.shuffle(x))


class PixelShuffled(nn.Module):
    prunable = ("up", "mid", "after")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = conv(width, 20)
        self.shuffle = nn.PixelShuffle(2)
        self.mid = conv(5, 4)
        self.unshuffle = nn.PixelUnshuffle(2)
        self.after = conv(16, 6, 1)
        self.out = conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.shuffle(self.up(x)).relu())
        return self.out(self.after(self.unshuffle(x)).relu())


class Focus(nn.Module):
    prunable = ("conv", "after")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 5)
        self.after = conv(20, 7)
        self.out = nn.ConvTranspose2d(7, width, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        corners = [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
        return self.out(self.after(torch.cat(corners, 1)).relu())


class ChannelPadded(nn.Module):
    """A shortcut without weights: more channels are padded with zeros."""

    prunable = ("stem", "wide")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = conv(width, 6, 1)
        self.wide = conv(6, 10)
        self.out = conv(10, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.out(self.wide(x) + F.pad(x, (0, 0, 0, 0, 2, 2)))


class Unfolded(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 4)
        self.mix = conv(36, 6, 1)
        self.out = conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(self.conv(x), 3, padding=1)
        patches = patches.view(len(x), -1, *x.shape[2:])
        return self.out(self.mix(patches).relu())


class Tiled(nn.Module):
    """A pooled vector is repeated over space and joined (PSP, global context)."""

    prunable = ("local", "context")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.local = conv(width, 5)
        self.context = conv(width, 6, 1)
        self.out = conv(11, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        context = self.context(x.mean((2, 3), keepdim=True)).relu()
        context = context.repeat(1, 1, *x.shape[2:])
        return self.out(torch.cat([self.local(x), context], 1))
