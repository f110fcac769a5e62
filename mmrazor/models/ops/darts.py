# DARTS (arXiv:1806.09055), section 3.1.1: the eight operations of its CIFAR-10 space,
# each ReLU, convolution, norm; separable ones are applied twice.
"""Operations of the DARTS search space."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from .drop_path import DropPath

Layers = list[nn.Module]


def darts_op(
    name: str, channels: int, stride: int = 1, affine: bool = True, drop: float = 0.0
) -> nn.Module:
    """Build an operation of the DARTS space.

    Args:
        name: One of ``DARTS_OPS``.
        channels: Channels of input and output.
        stride: 1, or 2 in a reduction cell.
        affine: Whether norms learn scale and bias. Without, as while searching, pooling
            is followed by a norm too.
        drop: Probability of :class:`DropPath` after it; an identity drops nothing.

    Raises:
        ValueError: If there is no such operation.

    Example:
        >>> sum(p.numel() for p in darts_op('sep_conv_3x3', 16).parameters())
        864
    """
    if name not in DARTS_OPS:
        raise ValueError(
            f"DARTS has no operation '{name}'. Take one of {[*DARTS_OPS]}."
        )
    layers = DARTS_OPS[name](channels, stride, affine)
    return nn.Sequential(*layers, DropPath(drop)) if layers else nn.Identity()


def relu_conv_bn(
    in_channels: int, out_channels: int, affine: bool = True
) -> nn.Sequential:
    """Build ReLU, a pointwise convolution and a norm."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels, affine=affine),
    )


@final
class Zero(nn.Module):
    """Zeros in the shape of the input, or of every second pixel of it.

    Args:
        stride: Step in pixels.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(feat_BCHW[:, :, :: self.stride, :: self.stride])


@final
class FactorizedReduce(nn.Module):
    """Halve a map by two pointwise convolutions, on even and on odd pixels.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, an even number.
        affine: Whether the norm learns scale and bias.

    Example:
        >>> FactorizedReduce(4, 8)(torch.zeros(1, 4, 5, 6)).shape
        torch.Size([1, 8, 3, 3])
    """

    def __init__(
        self, in_channels: int, out_channels: int, affine: bool = True
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.relu = nn.ReLU()
        self.conv_1 = nn.Conv2d(in_channels, half, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(in_channels, half, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(2 * half, affine=affine)

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Return the map at half the size, rounded up."""
        feat = self.relu(feat_BCHW)
        height, width = feat.shape[2:]
        # Odd sizes have one odd pixel less: a column of zeros makes up for it.
        shifted = functional.pad(feat, (0, width % 2, 0, height % 2))[:, :, 1:, 1:]
        return self.bn(torch.cat([self.conv_1(feat), self.conv_2(shifted)], 1))


def _pool(kind: str) -> Callable[[int, int, bool], Layers]:
    def layers(channels: int, stride: int, affine: bool) -> Layers:
        pool: nn.Module = nn.MaxPool2d(3, stride, 1)
        if kind == "avg":
            pool = nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        norm = [] if affine else [nn.BatchNorm2d(channels, affine=False)]
        return [pool, *norm]

    return layers


def _skip(channels: int, stride: int, affine: bool) -> Layers:
    return [] if stride == 1 else [FactorizedReduce(channels, channels, affine)]


def _depthwise_and_pointwise(
    channels: int, kernel: int, stride: int, dilation: int, affine: bool
) -> Layers:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(
            channels,
            channels,
            kernel,
            stride,
            padding,
            dilation,
            groups=channels,
            bias=False,
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    ]


def _separable(kernel: int) -> Callable[[int, int, bool], Layers]:
    def layers(channels: int, stride: int, affine: bool) -> Layers:
        return [
            *_depthwise_and_pointwise(channels, kernel, stride, 1, affine),
            *_depthwise_and_pointwise(channels, kernel, 1, 1, affine),
        ]

    return layers


def _dilated(kernel: int) -> Callable[[int, int, bool], Layers]:
    def layers(channels: int, stride: int, affine: bool) -> Layers:
        return _depthwise_and_pointwise(channels, kernel, stride, 2, affine)

    return layers


#: Builders of the layers of each operation: from channels, stride and affine.
DARTS_OPS: dict[str, Callable[[int, int, bool], Layers]] = {
    "none": lambda channels, stride, affine: [Zero(stride)],
    "max_pool_3x3": _pool("max"),
    "avg_pool_3x3": _pool("avg"),
    "skip_connect": _skip,
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
}
