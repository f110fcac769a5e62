"""What backbones made of a stem and stages have in common in the host libraries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

INIT: list[dict[str, Any]] = [
    dict(type="Kaiming", layer="Conv2d", mode="fan_out", nonlinearity="relu"),
    dict(type="Constant", val=1, bias=0, layer=["_BatchNorm", "GroupNorm"]),
]


class StagedBackbone(BaseModule):
    """A stem ``conv1`` and stages ``layers``, as the host libraries' backbones.

    Args:
        stem: The first layers.
        stages: The stages in order; the last convolution counts as one.
        out_indices: Stages whose outputs are returned.
        frozen_stages: The stem and so many stages keep their weights; -1 for none.
        norm_eval: Whether batch norms use their running statistics in training.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If there is no such stage.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        out_indices: Sequence[int],
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(INIT if init_cfg is None else init_cfg)
        count = len(stages)
        if not out_indices or not all(0 <= index < count for index in out_indices):
            raise ValueError(
                f"out_indices={tuple(out_indices)} must be some of the stages 0 to "
                f"{count - 1}."
            )
        if not -1 <= frozen_stages <= count:
            raise ValueError(
                f"frozen_stages={frozen_stages} must be from -1 (none) to {count}."
            )
        self.conv1 = stem
        self.layers = nn.ModuleList(stages)
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.train()

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the stages in ``out_indices``."""
        feat = self.conv1(image_BCHW)
        outs = []
        for index, stage in enumerate(self.layers[: max(self.out_indices) + 1]):
            feat = stage(feat)
            if index in self.out_indices:
                outs.append(feat)
        return tuple(outs)

    def train(self, mode: bool = True) -> StagedBackbone:
        """Set the mode; frozen stages, and norms if so wished, stay in eval mode."""
        super().train(mode)
        if self.frozen_stages >= 0:
            for module in (self.conv1, *self.layers[: self.frozen_stages]):
                module.eval()
                module.requires_grad_(False)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
