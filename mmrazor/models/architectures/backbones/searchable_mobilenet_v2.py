# ProxylessNAS (arXiv:1812.00332), a space that Single Path One-Shot (arXiv:1904.00420)
# searches too. Widths of the GPU space by default.
"""The MobileNetV2 supernet of ProxylessNAS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from mmcv.cnn import ConvModule
from torch import nn

from ....registry import MODELS
from ...mutables import OneShotMutableOP
from ...ops import MBBlock
from .staged_backbone import StagedBackbone

Cfg = dict[str, Any]
_NORM: Cfg = dict(type="BN")
_ACT: Cfg = dict(type="ReLU6")
_STAGES = (
    (32, 4, 2),
    (56, 4, 2),
    (112, 4, 2),
    (128, 4, 1),
    (256, 4, 2),
    (432, 1, 1),
)


@final
@MODELS.register_module()
class SearchableMobileNetV2(StagedBackbone):
    """MobileNetV2 with a choice of kernel, expansion and depth at each place.

    The candidates are ``mb_k3_e3``, ``mb_k5_e3``, ``mb_k7_e3``, ``mb_k3_e6``,
    ``mb_k5_e6``, ``mb_k7_e6`` and, where the shape stays, ``identity``. Stage 0 is one
    block with kernel 3 and expansion 1, which is not searched.

    Args:
        stages: Channels, number of blocks and stride of each searched stage.
        stem_channels: Channels of the first convolution.
        first_channels: Channels of stage 0.
        last_channels: Channels of the last convolution.
        kernels: Kernel sizes to choose from.
        ratios: Expansions to choose from.
        out_indices: Outputs to return; the last convolution is the one after the
            stages.
        frozen_stages: The stem and so many stages keep their weights; -1 for none.
        norm_eval: Whether batch norms use their running statistics in training.
        norm_cfg, act_cfg, init_cfg: As in mmcv and mmengine.

    Raises:
        ValueError: If there is no such stage.

    Example:
        >>> import torch
        >>> net = SearchableMobileNetV2([(8, 2, 2)], 4, 4, 16, out_indices=[2])
        >>> [tuple(out.shape) for out in net(torch.zeros(2, 3, 16, 16))]
        [(2, 16, 4, 4)]
    """

    def __init__(
        self,
        stages: Sequence[Sequence[int]] = _STAGES,
        stem_channels: int = 40,
        first_channels: int = 24,
        last_channels: int = 1728,
        kernels: Sequence[int] = (3, 5, 7),
        ratios: Sequence[int] = (3, 6),
        out_indices: Sequence[int] = (7,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_cfg: Cfg = _NORM,
        act_cfg: Cfg = _ACT,
        init_cfg: Any = None,
    ) -> None:
        cfgs: Cfg = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        stem = ConvModule(3, stem_channels, 3, stride=2, padding=1, **cfgs)
        first = MBBlock(stem_channels, first_channels, expand_ratio=1, **cfgs)
        layers: list[nn.Module] = [nn.Sequential(first)]
        inputs = first_channels
        kinds = [(kernel, ratio) for ratio in ratios for kernel in kernels]
        for outputs, repeat, stride in stages:
            blocks = []
            for j in range(repeat):
                shape = (inputs, outputs, 1 if j else stride)
                blocks.append(_block(*shape, kinds, cfgs))
                inputs = outputs
            layers.append(nn.Sequential(*blocks))
        layers.append(ConvModule(inputs, last_channels, 1, **cfgs))
        super().__init__(stem, layers, out_indices, frozen_stages, norm_eval, init_cfg)


def _block(
    inputs: int, outputs: int, stride: int, kinds: list[tuple[int, int]], cfgs: Cfg
) -> nn.Module:
    candidates: dict[str, nn.Module] = {
        f"mb_k{kernel}_e{ratio}": MBBlock(
            inputs, outputs, kernel, stride, ratio, **cfgs
        )
        for kernel, ratio in kinds
    }
    if stride == 1 and inputs == outputs:
        candidates["identity"] = nn.Identity()
    return OneShotMutableOP(candidates)
