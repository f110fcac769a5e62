# Single Path One-Shot NAS with Uniform Sampling (arXiv:1904.00420), table 1: 20 blocks
# with four candidates each. B batch, C channels, H W space.
"""The ShuffleNetV2 supernet of Single Path One-Shot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from mmcv.cnn import ConvModule
from torch import nn

from ....registry import MODELS
from ...mutables import OneShotMutableOP
from ...ops import ShuffleBlock, ShuffleXception
from .staged_backbone import StagedBackbone

Cfg = dict[str, Any]
_NORM: Cfg = dict(type="BN")
_ACT: Cfg = dict(type="ReLU")


@final
@MODELS.register_module()
class SearchableShuffleNetV2(StagedBackbone):
    """ShuffleNetV2 with a choice of four blocks at each place.

    The candidates are ``shuffle_3x3``, ``shuffle_5x5``, ``shuffle_7x7`` and
    ``shuffle_xception``; the Choices are named ``<path>.layers.<stage>.<block>.op``.

    Args:
        repeats: Number of blocks of each stage.
        channels: Of the stem, of each stage and of the last convolution.
        out_indices: Outputs to return; the last convolution is the one after the
            stages. Detectors take ``(0, 1, 2, 3)``.
        frozen_stages: The stem and so many stages keep their weights; -1 for none.
        norm_eval: Whether batch norms use their running statistics in training.
        norm_cfg, act_cfg, init_cfg: As in mmcv and mmengine.

    Raises:
        ValueError: If the numbers of channels and of repeats do not fit, or there is no
            such stage.

    Example:
        >>> import torch
        >>> net = SearchableShuffleNetV2([1, 1], [4, 8, 16, 32], out_indices=[0, 2])
        >>> [tuple(out.shape) for out in net(torch.zeros(2, 3, 16, 16))]
        [(2, 8, 4, 4), (2, 32, 2, 2)]
    """

    def __init__(
        self,
        repeats: Sequence[int] = (4, 4, 8, 4),
        channels: Sequence[int] = (16, 64, 160, 320, 640, 1024),
        out_indices: Sequence[int] = (4,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_cfg: Cfg = _NORM,
        act_cfg: Cfg = _ACT,
        init_cfg: Any = None,
    ) -> None:
        if len(channels) != len(repeats) + 2:
            raise ValueError(
                f"channels={list(channels)} must be {len(repeats) + 2}: of the stem, "
                f"of each of the {len(repeats)} stages and of the last convolution."
            )
        cfgs: Cfg = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        stem = ConvModule(3, channels[0], 3, stride=2, padding=1, **cfgs)
        stages: list[nn.Module] = []
        for i, repeat in enumerate(repeats):
            width = channels[i + 1]
            ins = [channels[i], *[width] * (repeat - 1)]
            blocks = [
                _block(inputs, width, 1 if j else 2, cfgs)
                for j, inputs in enumerate(ins)
            ]
            stages.append(nn.Sequential(*blocks))
        stages.append(ConvModule(channels[-2], channels[-1], 1, **cfgs))
        super().__init__(stem, stages, out_indices, frozen_stages, norm_eval, init_cfg)


def _block(inputs: int, outputs: int, stride: int, cfgs: Cfg) -> nn.Module:
    candidates: dict[str, nn.Module] = {
        f"shuffle_{k}x{k}": ShuffleBlock(inputs, outputs, k, stride, **cfgs)
        for k in (3, 5, 7)
    }
    xception = ShuffleXception(inputs, outputs, 3, stride, **cfgs)
    return OneShotMutableOP({**candidates, "shuffle_xception": xception})
