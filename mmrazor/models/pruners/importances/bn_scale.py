"""Importance by the scale of norm layers.

Learning Efficient Convolutional Networks through Network Slimming (Liu et al., 2017,
arXiv:1708.06519): the factor of a channel's batch norm, trained with an L1
penalty, tells how much the channel is used.
"""

from __future__ import annotations

from torch import Tensor

from ....core.graph.channel_group import ChannelGroup
from ....registry import MODELS
from .base import Importance, ImportanceError, slot_scores
from .combine import check_combination, combined
from .magnitude import channel_l1


@MODELS.register_module()
class BNScaleImportance(Importance):
    """Absolute scale of the norm layers on a group's channels.

    The paper compares the raw scales of all layers, so nothing is normalized by
    default.

    Args:
        reduction: Over norm layers, see :func:`~.combine.combined`.
        normalization: Over channels, see :func:`~.combine.combined`.

    Raises:
        ValueError: If an argument is another word.
        ImportanceError: If a group has no norm layer with a scale.
    """

    def __init__(self, reduction: str = "mean", normalization: str = "none") -> None:
        check_combination(reduction, normalization)
        self.reduction, self.normalization = reduction, normalization

    def __call__(self, group: ChannelGroup) -> Tensor:
        """Return the scores, shape ``(C,)``."""
        slots = [slot for slot in group.slots if slot.role == "scale"]
        if not slots:
            raise ImportanceError(
                f"Group '{group.name}' has no norm layer with a scale; its slots are "
                f"in {group.modules()}. Use an importance that reads weights, such as "
                "L1Importance, or leave the group out of the pruning."
            )
        scores = slot_scores(group, slots, channel_l1)
        return combined(scores, self.reduction, self.normalization)
