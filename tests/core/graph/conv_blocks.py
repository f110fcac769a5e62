"""Blocks of convolutions: feature maps ``(B, C, H, W)`` in, the same out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d


def conv(inputs: int, outputs: int, kernel: int = 3, **options: int) -> nn.Conv2d:
    """Return a convolution that keeps the size of its input."""
    reach = options.get("dilation", 1) * (kernel - 1) // 2
    return nn.Conv2d(inputs, outputs, kernel, padding=reach, **options)


class Plain(nn.Module):
    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, width + 4, bias=False)
        self.norm = nn.BatchNorm2d(width + 4)
        self.out = conv(width + 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.conv(x)).relu())


class Dilated(Plain):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.conv = conv(width, width + 4, dilation=2)


class Grouped(nn.Module):
    prunable = ("first", "grouped")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(width, 12, 1)
        self.grouped = conv(12, 24, groups=4)
        self.out = conv(24, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.grouped(self.first(x).relu()).relu())


class GroupedTwice(nn.Module):
    prunable = ("first", "two", "four")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(width, 8, 1)
        self.two = conv(8, 16, groups=2)
        self.four = conv(16, 16, groups=4)
        self.out = conv(16, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.four(self.two(self.first(x).relu()).relu()).relu())


class Depthwise(nn.Module):
    prunable = ("expand",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = conv(width, 10, 1)
        self.depth = conv(10, 10, groups=10)
        self.norm = nn.BatchNorm2d(10)
        self.out = conv(10, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(F.relu6(self.norm(self.depth(self.expand(x).relu()))))


class DepthMultiplier(nn.Module):
    prunable = ("expand",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = conv(width, 6, 1)
        self.depth = conv(6, 12, groups=6)
        self.out = conv(12, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.depth(self.expand(x).relu()).relu())


class Transposed(nn.Module):
    prunable = ("up", "down")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(width, 8, 2, stride=2)
        self.grouped = nn.ConvTranspose2d(8, 12, 3, padding=1, groups=2)
        self.down = conv(12, 6, stride=2)
        self.depth = nn.ConvTranspose2d(6, 6, 3, padding=1, groups=6)
        self.out = conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(self.up(x).relu()).relu()
        return self.out(self.depth(self.down(x)).relu())


class Residual(nn.Module):
    prunable = ("conv1",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = conv(width, 6, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv2 = conv(6, width, bias=False)
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
        self.branch = conv(width, 9)
        self.shortcut = conv(width, 9, 1)
        self.out = conv(9, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out((self.branch(x) + self.shortcut(x)).relu())


class Scaled(nn.Module):
    """Parameters that are used directly."""

    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 8)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, 8, 1, 1))
        self.slope = nn.PReLU(8)
        self.all = nn.Parameter(torch.ones(1))
        self.out = conv(8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.slope(self.conv(x) * self.scale + self.shift)
        return self.out(x * self.all)


class Standardised(nn.Module):
    """The weight's rows are standardised before they are used (BiT, NFNet)."""

    prunable = ("conv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 9)
        self.out = conv(9, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.conv.weight
        mean = weight.mean((1, 2, 3), keepdim=True)
        deviation = weight.std((1, 2, 3), keepdim=True)
        weight = (weight - mean) / (deviation + 1e-5)
        return self.out(F.conv2d(x, weight, self.conv.bias, padding=1).relu())


class Parametrized(nn.Module):
    """Weights that are computed from others."""

    prunable = ("long", "sharp")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.long = nn.utils.parametrizations.weight_norm(conv(width, 7))
        self.sharp = nn.utils.parametrizations.spectral_norm(conv(7, 6))
        self.out = conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.sharp(self.long(x).relu()).relu())


class Deformable(nn.Module):
    """Looks for each place where offsets say, which stay as they are."""

    prunable = ("before", "deformed")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before = conv(width, 8)
        self.offset = conv(8, 36)
        self.deformed = DeformConv2d(8, 6, 3, padding=1)
        self.out = conv(6, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        return self.out(self.deformed(x, self.offset(x)).relu())


class OneByOne(nn.Module):
    """Every channel is an image of its own for one small network."""

    prunable = ("conv", "inner")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, 5)
        self.inner = conv(1, 4)
        self.back = conv(4, 1)
        self.out = conv(5, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        single = x.reshape(-1, 1, *x.shape[2:])
        return self.out(self.back(self.inner(single).relu()).reshape_as(x))
