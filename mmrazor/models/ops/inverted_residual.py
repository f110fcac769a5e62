# MobileNetV2's block (arXiv:1801.04381) with any kernel and expansion, the operation of
# the search spaces of ProxylessNAS (arXiv:1812.00332) and Single Path One-Shot.
"""Inverted residual blocks."""

from __future__ import annotations

from typing import Any, final

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS

Cfg = dict[str, Any]
BN: Cfg = dict(type="BN")
RELU6: Cfg = dict(type="ReLU6")


@final
@MODELS.register_module()
class MBBlock(BaseModule):
    """Expand, convolve depthwise, project; with a shortcut where the shapes allow it.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Size of the depthwise kernel, in pixels.
        stride: Of the depthwise convolution.
        expand_ratio: Width between over ``in_channels``; with 1 nothing is expanded.
        norm_cfg, act_cfg, init_cfg: As in mmcv and mmengine.

    Example:
        >>> import torch
        >>> MBBlock(8, 12, 5, stride=2)(torch.zeros(1, 8, 6, 6)).shape
        torch.Size([1, 12, 3, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        expand_ratio: float = 6,
        norm_cfg: Cfg = BN,
        act_cfg: Cfg = RELU6,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        width = round(in_channels * expand_ratio)
        cfgs: Cfg = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        layers: list[nn.Module] = []
        if width != in_channels:
            layers.append(ConvModule(in_channels, width, 1, **cfgs))
        padding = kernel_size // 2
        layers += [
            ConvModule(
                width, width, kernel_size, stride, padding, groups=width, **cfgs
            ),
            ConvModule(width, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None),
        ]
        self.layers = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Return the map with ``out_channels`` channels."""
        out = self.layers(feat_BCHW)
        return feat_BCHW + out if self.has_shortcut else out
