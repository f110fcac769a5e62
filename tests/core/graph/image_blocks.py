"""Blocks for random networks on feature maps: ``(B, C, H, W)`` in, the same out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.core.graph.conv_blocks import (
    Deformable,
    DepthMultiplier,
    Depthwise,
    Dilated,
    Grouped,
    GroupedTwice,
    OneByOne,
    Parametrized,
    Plain,
    Projected,
    Residual,
    Scaled,
    Standardised,
    Transposed,
    conv,
)
from tests.core.graph.norm_blocks import (
    ConvNeXt,
    GlobalResponseNorm,
    GroupNormed,
    InstanceNormed,
    OneGroupNormed,
    TrackedInstanceNormed,
    UnitLength,
)
from tests.core.graph.part_blocks import (
    ChannelPadded,
    ChannelShuffle,
    Dense,
    Focus,
    GatedConv,
    Inception,
    PartialConv,
    PixelShuffled,
    ShuffleUnit,
    Tiled,
    UnequalSplit,
    Unfolded,
)


class SqueezeExcite(nn.Module):
    prunable = ("conv", "reduce")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 8)
        self.reduce = nn.Linear(8, 4)
        self.expand = nn.Linear(4, 8)
        self.out = conv(8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        batch, channels = x.shape[:2]
        scale = F.adaptive_avg_pool2d(x, 1).view(batch, channels)
        scale = self.expand(self.reduce(scale).relu()).sigmoid()
        return self.out(x * scale.view(batch, channels, 1, 1).expand_as(x))


class SpatialGate(nn.Module):
    """CBAM's: mean and maximum over the channels make a map."""

    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 7)
        self.gate = conv(2, 1)
        self.out = conv(7, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return self.out(x * self.gate(seen).sigmoid())


class Pyramid(nn.Module):
    """One head runs on three levels, with a scale for each."""

    prunable = ("lateral", "tower", "scores")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lateral = conv(width, 8, 1)
        self.tower = conv(8, 6)
        self.norm = nn.GroupNorm(3, 6)
        self.scores = conv(6, 5)
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(3))
        self.out = conv(5, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.lateral(x)]
        for _ in range(2):
            levels.append(F.max_pool2d(levels[-1], 2))
        total = 0
        for level, scale in zip(levels, self.scales, strict=True):
            scores = self.scores(self.norm(self.tower(level)).relu()) * scale
            total = total + F.interpolate(scores, size=x.shape[2:], mode="bilinear")
        return self.out(total)


class TopDown(nn.Module):
    """Two levels of a feature pyramid that are added."""

    prunable = ("fine",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fine = conv(width, 7, 1)
        self.coarse = conv(width, 7, stride=2)
        self.out = conv(7, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        up = F.interpolate(self.coarse(x), scale_factor=2.0, mode="nearest")
        return self.out(self.fine(x) + up)


class SelectiveKernel(nn.Module):
    """Two branches, weighed by a softmax over the branches for each channel."""

    prunable = ("small", "squeeze")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.small = conv(width, 6)
        self.large = conv(width, 6, dilation=2)
        self.squeeze = conv(6, 4, 1)
        self.weigh = conv(4, 12, 1)
        self.out = conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack([self.small(x), self.large(x)], dim=1)
        pooled = branches.sum(1).mean((2, 3), keepdim=True)
        scores = self.weigh(self.squeeze(pooled).relu())
        batch, channels = pooled.shape[:2]
        scores = scores.view(batch, 2, channels, 1, 1).softmax(dim=1)
        return self.out((branches * scores).sum(1))


class NonLocal(nn.Module):
    """Attention between pixels, with embeddings made by convolutions."""

    prunable = ("theta", "g")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.theta = conv(width, 6, 1)
        self.phi = conv(width, 6, 1)
        self.g = conv(width, 5, 1)
        self.out = conv(5, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        theta = self.theta(x).flatten(2).transpose(1, 2)
        phi = F.max_pool2d(self.phi(x), 2).flatten(2)
        g = F.max_pool2d(self.g(x), 2).flatten(2).transpose(1, 2)
        weights = (theta @ phi).softmax(-1)
        y = (weights @ g).transpose(1, 2).reshape(batch, -1, height, width)
        return x + self.out(y)


IMAGE_BLOCKS = [
    Plain,
    Dilated,
    Grouped,
    GroupedTwice,
    Depthwise,
    DepthMultiplier,
    Transposed,
    Residual,
    Projected,
    Scaled,
    Standardised,
    Parametrized,
    Deformable,
    OneByOne,
    GatedConv,
    Inception,
    Dense,
    UnequalSplit,
    PartialConv,
    ChannelShuffle,
    ShuffleUnit,
    PixelShuffled,
    Focus,
    ChannelPadded,
    Unfolded,
    Tiled,
    GroupNormed,
    OneGroupNormed,
    InstanceNormed,
    TrackedInstanceNormed,
    GlobalResponseNorm,
    UnitLength,
    ConvNeXt,
    SqueezeExcite,
    SpatialGate,
    Pyramid,
    TopDown,
    SelectiveKernel,
    NonLocal,
]
