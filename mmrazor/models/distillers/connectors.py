"""Connectors: small trained modules that bring a value into a loss's shape.

They sit on one input of a loss (``student_connector`` or ``teacher_connector``), are
trained with the student and are no part of the exported network.
"""

from __future__ import annotations

from typing import Any

from mmcv.cnn import ConvModule, build_norm_layer
from torch import Tensor, nn

from ...registry import MODELS


@MODELS.register_module()
class ConvModuleConnector(nn.Module):
    """Convolution, norm and activation that map one feature map to another width.

    FitNets' regressor (arXiv:1412.6550, section 2.2) is the default: a 1x1 convolution.

    Args:
        in_channels: Channels of the value.
        out_channels: Channels wanted.
        kernel_size: Size of the kernel, in pixels; the map keeps its size.
        stride: Stride of the convolution, in pixels.
        norm_cfg: Norm layer's config, none by default.
        act_cfg: Activation's config, none by default.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        norm_cfg: dict[str, Any] | None = None,
        act_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.conv = ConvModule(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Return the map with ``out_channels`` channels."""
        return self.conv(feat_BCHW)


@MODELS.register_module()
class LinearConnector(nn.Module):
    """Linear layer on the last axis, for values of shape ``(B, ..., C)``.

    Args:
        in_features: Size of the last axis.
        out_features: Size wanted.
        bias: Whether a bias is learned.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias)

    def forward(self, value: Tensor) -> Tensor:
        """Return the value with ``out_features`` on its last axis."""
        return self.linear(value)


@MODELS.register_module()
class NormConnector(nn.Module):
    """One norm layer, so that maps of different scale are compared by their pattern.

    Args:
        in_channels: Channels of the value.
        norm_cfg: Norm layer's config, for example ``dict(type='BN', affine=False)``.
    """

    def __init__(self, in_channels: int, norm_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.norm = build_norm_layer(norm_cfg, in_channels)[1]

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Return the normalised map, of the same shape."""
        return self.norm(feat_BCHW)
