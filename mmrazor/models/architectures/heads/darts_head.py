# DARTS retrains with an auxiliary classifier of weight 0.4, an idea of Inception's
# (arXiv:1409.4842).
"""A classifier's head with an auxiliary one that is used in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from mmengine.model import BaseModule
from torch import Tensor

from ....registry import MODELS


@final
@MODELS.register_module()
class DartsHead(BaseModule):
    """A head on the last feature, and an auxiliary one on the first of two.

    Args:
        head: Config of a head of the host library, such as mmpretrain's
            ``LinearClsHead``.
        aux_head: Config of the auxiliary head, for a ``DartsBackbone`` with
            ``auxiliary=True``: 768 channels in.
        aux_weight: Weight of the auxiliary losses.
        init_cfg: As in mmengine.
    """

    def __init__(
        self,
        head: Mapping[str, Any],
        aux_head: Mapping[str, Any] | None = None,
        aux_weight: float = 0.4,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        self.head = MODELS.build(dict(head))
        self.aux_head = None if aux_head is None else MODELS.build(dict(aux_head))
        self.aux_weight = aux_weight

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Return the scores of the head."""
        return self.head(feats[-1:])

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Return what the head classifies."""
        return self.head.pre_logits(feats[-1:])

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Return the losses of the head, and those of the auxiliary one as ``aux_...``.

        Raises:
            ValueError: If there is an auxiliary head and no feature for it.
        """
        losses = dict(self.head.loss(feats[-1:], data_samples, **kwargs))
        if self.aux_head is None:
            return losses
        if len(feats) != 2:
            raise ValueError(
                f"DartsHead got {len(feats)} features and needs two: one for aux_head, "
                "then one for head. Give the backbone auxiliary=True."
            )
        extra = self.aux_head.loss(feats[:1], data_samples, **kwargs)
        return losses | {
            f"aux_{key}": self.aux_weight * value if "loss" in key else value
            for key, value in extra.items()
        }

    def predict(self, feats: tuple[Tensor, ...], *args: Any, **kwargs: Any) -> Any:
        """Return what the head predicts."""
        return self.head.predict(feats[-1:], *args, **kwargs)
