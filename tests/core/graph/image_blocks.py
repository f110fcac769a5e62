"""Blocks for random networks on feature maps: ``(B, C, H, W)`` in, the same out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _conv(inputs: int, outputs: int, kernel: int = 3, **options) -> nn.Conv2d:
    reach = options.get("dilation", 1) * (kernel - 1) // 2
    return nn.Conv2d(inputs, outputs, kernel, padding=reach, **options)


class Plain(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, width + 4, bias=False)
        self.norm = nn.BatchNorm2d(width + 4)
        self.out = _conv(width + 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.conv(x)).relu())


class Dilated(Plain):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.conv = _conv(width, width + 4, dilation=2)


class Grouped(nn.Module):
    prunable = ("first", "grouped")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, 12, 1)
        self.grouped = _conv(12, 24, groups=4)
        self.out = _conv(24, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.grouped(self.first(x).relu()).relu())


class GroupedTwice(nn.Module):
    prunable = ("first", "two", "four")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, 8, 1)
        self.two = _conv(8, 16, groups=2)
        self.four = _conv(16, 16, groups=4)
        self.out = _conv(16, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.four(self.two(self.first(x).relu()).relu()).relu())


class Depthwise(nn.Module):
    prunable = ("expand",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = _conv(width, 10, 1)
        self.depth = _conv(10, 10, groups=10)
        self.norm = nn.BatchNorm2d(10)
        self.out = _conv(10, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(F.relu6(self.norm(self.depth(self.expand(x).relu()))))


class DepthMultiplier(nn.Module):
    prunable = ("expand",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = _conv(width, 6, 1)
        self.depth = _conv(6, 12, groups=6)
        self.out = _conv(12, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.depth(self.expand(x).relu()).relu())


class Transposed(nn.Module):
    prunable = ("up", "down")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(width, 8, 2, stride=2)
        self.grouped = nn.ConvTranspose2d(8, 12, 3, padding=1, groups=2)
        self.down = _conv(12, 6, stride=2)
        self.depth = nn.ConvTranspose2d(6, 6, 3, padding=1, groups=6)
        self.out = _conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(self.up(x).relu()).relu()
        return self.out(self.depth(self.down(x)).relu())


class Residual(nn.Module):
    prunable = ("conv1",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _conv(width, 6, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv2 = _conv(6, width, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        out += x
        return out.relu_()


class Projected(nn.Module):
    """The shortcut and the branch make the same channels."""

    prunable = ("branch",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = _conv(width, 9)
        self.shortcut = _conv(width, 9, 1)
        self.out = _conv(9, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out((self.branch(x) + self.shortcut(x)).relu())


class SqueezeExcite(nn.Module):
    prunable = ("conv", "reduce")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, 8)
        self.reduce = nn.Linear(8, 4)
        self.expand = nn.Linear(4, 8)
        self.out = _conv(8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        batch, channels = x.shape[:2]
        scale = F.adaptive_avg_pool2d(x, 1).view(batch, channels)
        scale = self.expand(self.reduce(scale).relu()).sigmoid()
        return self.out(x * scale.view(batch, channels, 1, 1).expand_as(x))


class GatedConv(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, 12)
        self.out = _conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.conv(x).chunk(2, dim=1)
        return self.out(value * gate.sigmoid())


class SpatialGate(nn.Module):
    """CBAM's: mean and maximum over the channels make a map."""

    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, 7)
        self.gate = _conv(2, 1)
        self.out = _conv(7, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return self.out(x * self.gate(seen).sigmoid())


class Inception(nn.Module):
    prunable = ("a", "b", "c")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = _conv(width, 3, 1)
        self.b = _conv(width, 5)
        self.c = _conv(width, 4, 1)
        self.norm = nn.BatchNorm2d(12)
        self.out = _conv(12, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool2d(x, 3, 1, 1)
        x = torch.cat([self.a(x), self.b(x), self.c(pooled)], dim=1)
        return self.out(self.norm(x).relu())


class Dense(nn.Module):
    prunable = ("first", "second")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, 4)
        self.norm = nn.BatchNorm2d(width + 4)
        self.second = _conv(width + 4, 4)
        self.out = _conv(width + 8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.first(x)], 1)
        x = torch.cat([x, self.second(self.norm(x).relu())], 1)
        return self.out(x)


class UnequalSplit(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, 10)
        self.left = _conv(3, 4)
        self.out = _conv(11, width, 1)
        self.sizes = (3, 7)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.conv(x).split(self.sizes, dim=1)
        return self.out(torch.cat([self.left(left).relu(), right], 1))


class PartialConv(nn.Module):
    """FasterNet's: only the first channels are convolved."""

    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, 12)
        self.part = _conv(3, 3)
        self.out = _conv(12, width, 1)
        self.convolved = 3

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        first = self.part(x[:, : self.convolved])
        return self.out(torch.cat([first, x[:, self.convolved :]], 1).relu())


class ChannelShuffle(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, 16, 1)
        self.grouped = _conv(16, 16, groups=4)
        self.out = _conv(16, width, 1)

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
        self.stem = _conv(width, 8, 1)
        self.inner = _conv(4, 4)
        self.shuffle = nn.ChannelShuffle(2)
        self.out = _conv(8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.stem(x).chunk(2, 1)
        x = torch.cat([left, self.inner(right).relu()], 1)
        return self.out(self.shuffle(x))


class PixelShuffled(nn.Module):
    prunable = ("up", "mid", "after")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = _conv(width, 20)
        self.shuffle = nn.PixelShuffle(2)
        self.mid = _conv(5, 4)
        self.unshuffle = nn.PixelUnshuffle(2)
        self.after = _conv(16, 6, 1)
        self.out = _conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.shuffle(self.up(x)).relu())
        return self.out(self.after(self.unshuffle(x)).relu())


class Focus(nn.Module):
    prunable = ("conv", "after")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, 5)
        self.after = _conv(20, 7)
        self.out = nn.ConvTranspose2d(7, width, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        corners = [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
        return self.out(self.after(torch.cat(corners, 1)).relu())


class GroupNormed(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, 12)
        self.norm = nn.GroupNorm(4, 12)
        self.out = _conv(12, width, 1)

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
        self.conv = _conv(width, 9)
        self.gamma = nn.Parameter(torch.ones(1, 9, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, 9, 1, 1))
        self.out = _conv(9, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        size = torch.norm(x, p=2, dim=(2, 3), keepdim=True)
        share = size / (size.mean(dim=1, keepdim=True) + 1e-6)
        return self.out(self.gamma * (x * share) + self.beta + x)


class UnitLength(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, 9)
        self.out = _conv(9, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.normalize(self.conv(x), dim=1))


class ConvNeXt(nn.Module):
    prunable = ("widen",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depth = _conv(width, width, 3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 10)
        self.narrow = nn.Linear(10, width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        y = self.narrow(F.gelu(self.widen(y))) * self.scale
        return x + y.permute(0, 3, 1, 2)


class Pyramid(nn.Module):
    """One head runs on three levels, with a scale for each."""

    prunable = ("lateral", "tower", "scores")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lateral = _conv(width, 8, 1)
        self.tower = _conv(8, 6)
        self.norm = nn.GroupNorm(3, 6)
        self.scores = _conv(6, 5)
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(3))
        self.out = _conv(5, width, 1)

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
        self.fine = _conv(width, 7, 1)
        self.coarse = _conv(width, 7, stride=2)
        self.out = _conv(7, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        up = F.interpolate(self.coarse(x), scale_factor=2.0, mode="nearest")
        return self.out(self.fine(x) + up)


class SelectiveKernel(nn.Module):
    """Two branches, weighed by a softmax over the branches for each channel."""

    prunable = ("small", "squeeze")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.small = _conv(width, 6)
        self.large = _conv(width, 6, dilation=2)
        self.squeeze = _conv(6, 4, 1)
        self.weigh = _conv(4, 12, 1)
        self.out = _conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack([self.small(x), self.large(x)], dim=1)
        pooled = branches.sum(1).mean((2, 3), keepdim=True)
        scores = self.weigh(self.squeeze(pooled).relu())
        batch, channels = pooled.shape[:2]
        scores = scores.view(batch, 2, channels, 1, 1).softmax(dim=1)
        return self.out((branches * scores).sum(1))


class Scaled(nn.Module):
    """Parameters that are used directly."""

    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, 8)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, 8, 1, 1))
        self.slope = nn.PReLU(8)
        self.all = nn.Parameter(torch.ones(1))
        self.out = _conv(8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.slope(self.conv(x) * self.scale + self.shift)
        return self.out(x * self.all)


class NonLocal(nn.Module):
    """Attention between pixels, with embeddings made by convolutions."""

    prunable = ("theta", "g")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.theta = _conv(width, 6, 1)
        self.phi = _conv(width, 6, 1)
        self.g = _conv(width, 5, 1)
        self.out = _conv(5, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        theta = self.theta(x).flatten(2).transpose(1, 2)
        phi = F.max_pool2d(self.phi(x), 2).flatten(2)
        g = F.max_pool2d(self.g(x), 2).flatten(2).transpose(1, 2)
        weights = (theta @ phi).softmax(-1)
        y = (weights @ g).transpose(1, 2).reshape(batch, -1, height, width)
        return x + self.out(y)


class ChannelPadded(nn.Module):
    """A shortcut without weights: more channels are padded with zeros."""

    prunable = ("stem", "wide")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = _conv(width, 6, 1)
        self.wide = _conv(6, 10)
        self.out = _conv(10, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.out(self.wide(x) + F.pad(x, (0, 0, 0, 0, 2, 2)))


class Unfolded(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, 4)
        self.mix = _conv(36, 6, 1)
        self.out = _conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(self.conv(x), 3, padding=1)
        patches = patches.view(len(x), -1, *x.shape[2:])
        return self.out(self.mix(patches).relu())


class Tiled(nn.Module):
    """A pooled vector is repeated over space and joined (PSP, global context)."""

    prunable = ("local", "context")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.local = _conv(width, 5)
        self.context = _conv(width, 6, 1)
        self.out = _conv(11, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        context = self.context(x.mean((2, 3), keepdim=True)).relu()
        context = context.repeat(1, 1, *x.shape[2:])
        return self.out(torch.cat([self.local(x), context], 1))


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
    SqueezeExcite,
    GatedConv,
    SpatialGate,
    Inception,
    Dense,
    UnequalSplit,
    PartialConv,
    ChannelShuffle,
    ShuffleUnit,
    PixelShuffled,
    Focus,
    GroupNormed,
    OneGroupNormed,
    InstanceNormed,
    TrackedInstanceNormed,
    GlobalResponseNorm,
    UnitLength,
    ConvNeXt,
    Pyramid,
    TopDown,
    SelectiveKernel,
    Scaled,
    NonLocal,
    ChannelPadded,
    Unfolded,
    Tiled,
]
