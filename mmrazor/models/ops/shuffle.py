# Blocks of ShuffleNetV2 (arXiv:1807.11164) as in the search space of Single Path
# One-Shot (arXiv:1904.00420), section 4: three kernel sizes and an Xception-like one.
# B batch, C channels, H W space.
"""Blocks of the ShuffleNetV2 search space."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, final

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS

Cfg = dict[str, Any]
BN: Cfg = dict(type="BN")
RELU: Cfg = dict(type="ReLU")


class _TwoBranches(BaseModule):
    """Half of the channels, or all with stride 2, pass the main branch.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, the same with stride 1.
        kernel_size: Size of the depthwise kernels, in pixels.
        stride: 1 or 2.
        norm_cfg, act_cfg, init_cfg: As in mmcv and mmengine.

    Raises:
        ValueError: If the channels cannot be split.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        norm_cfg: Cfg = BN,
        act_cfg: Cfg = RELU,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        fits = {
            1: in_channels == out_channels and in_channels % 2 == 0,
            2: in_channels < out_channels,
        }
        if not fits.get(stride, False):
            raise ValueError(
                f"{type(self).__name__} cannot have {in_channels} channels in, "
                f"{out_channels} out and stride {stride}. With stride 1 the channels "
                "are even and stay; with stride 2 they grow."
            )
        self._cfgs: tuple[Cfg, Cfg] = norm_cfg, act_cfg
        self.stride = stride
        width = in_channels // 2 if stride == 1 else in_channels
        layers = self._layers(
            width, out_channels - width, out_channels // 2, kernel_size
        )
        self.branch_main = nn.Sequential(*layers)
        if stride == 2:
            depthwise = self._depthwise(width, kernel_size, stride)
            self.branch_proj = nn.Sequential(depthwise, self._pointwise(width, width))

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Return the map with ``out_channels`` channels."""
        if self.stride == 2:
            branches = self.branch_proj(feat_BCHW), self.branch_main(feat_BCHW)
        else:
            # Even and odd channels: the shuffle of the block before.
            batch, channels, *space = feat_BCHW.shape
            pairs = feat_BCHW.reshape(batch, channels // 2, 2, *space)
            branches = pairs[:, :, 0], self.branch_main(pairs[:, :, 1])
        return torch.cat(branches, 1)

    @abstractmethod
    def _layers(self, width: int, out: int, mid: int, kernel: int) -> list[nn.Module]:
        """Build the main branch."""

    def _depthwise(self, channels: int, kernel: int, stride: int = 1) -> nn.Module:
        return ConvModule(
            channels,
            channels,
            kernel,
            stride,
            kernel // 2,
            groups=channels,
            norm_cfg=self._cfgs[0],
            act_cfg=None,
        )

    def _pointwise(self, in_channels: int, out_channels: int) -> nn.Module:
        norm_cfg, act_cfg = self._cfgs
        return ConvModule(
            in_channels, out_channels, 1, norm_cfg=norm_cfg, act_cfg=act_cfg
        )


@final
@MODELS.register_module()
class ShuffleBlock(_TwoBranches):
    """Pointwise, depthwise, pointwise: the block of ShuffleNetV2 with any kernel.

    Args:
        in_channels, out_channels, kernel_size, stride: Of the block; with stride 1 the
            channels stay.
        norm_cfg, act_cfg, init_cfg: As in mmcv and mmengine.

    Raises:
        ValueError: If the channels cannot be split.

    Example:
        >>> ShuffleBlock(8, 16, 5, stride=2)(torch.zeros(1, 8, 6, 6)).shape
        torch.Size([1, 16, 3, 3])
    """

    def _layers(self, width: int, out: int, mid: int, kernel: int) -> list[nn.Module]:
        return [
            self._pointwise(width, mid),
            self._depthwise(mid, kernel, self.stride),
            self._pointwise(mid, out),
        ]


@final
@MODELS.register_module()
class ShuffleXception(_TwoBranches):
    """Three pairs of a depthwise and a pointwise convolution.

    Args:
        in_channels, out_channels, kernel_size, stride: As for :class:`ShuffleBlock`.
        norm_cfg, act_cfg, init_cfg: As in mmcv and mmengine.

    Raises:
        ValueError: If the channels cannot be split.

    Example:
        >>> ShuffleXception(8, 8)(torch.zeros(1, 8, 6, 6)).shape
        torch.Size([1, 8, 6, 6])
    """

    def _layers(self, width: int, out: int, mid: int, kernel: int) -> list[nn.Module]:
        return [
            self._depthwise(width, kernel, self.stride),
            self._pointwise(width, mid),
            self._depthwise(mid, kernel),
            self._pointwise(mid, mid),
            self._depthwise(mid, kernel),
            self._pointwise(mid, out),
        ]
