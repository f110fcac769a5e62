"""Importance by the size of weights.

L1: Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710), section
3.1, the sum of a filter's absolute weights; L2 is the same with the Euclidean norm.
Group norm: DepGraph (Fang et al., 2023, arXiv:2301.12900), squared weights of all
coupled layers together.
"""

from __future__ import annotations

from torch import Tensor

from ....core.graph.channel_group import ChannelGroup
from ....registry import MODELS
from .base import Importance, SlotImportance, slot_scores, slots_of
from .combine import check_combination, combined


def channel_l1(rows: Tensor) -> Tensor:
    """Sum of absolute values of each channel.

    Args:
        rows: Weights by channel, shape ``(C, n)``.

    Returns:
        Shape ``(C,)``.

    Example:
        >>> import torch
        >>> channel_l1(torch.tensor([[1., -2.], [0., 4.]])).tolist()
        [3.0, 4.0]
    """
    return rows.abs().sum(1)


def channel_l2(rows: Tensor) -> Tensor:
    """Euclidean norm of each channel, as :func:`channel_l1`.

    Example:
        >>> import torch
        >>> channel_l2(torch.tensor([[3., -4.], [0., 1.]])).tolist()
        [5.0, 1.0]
    """
    return rows.norm(dim=1)


def channel_square_sum(rows: Tensor) -> Tensor:
    """Sum of squares of each channel, as :func:`channel_l1`.

    Example:
        >>> import torch
        >>> channel_square_sum(torch.tensor([[3., -4.], [0., 1.]])).tolist()
        [25.0, 1.0]
    """
    return rows.square().sum(1)


@MODELS.register_module()
class L1Importance(SlotImportance):
    """Sum of absolute weights, see :func:`channel_l1`."""

    def channel_scores(self, rows: Tensor) -> Tensor:
        """Return :func:`channel_l1`."""
        return channel_l1(rows)


@MODELS.register_module()
class L2Importance(SlotImportance):
    """Euclidean norm of weights, see :func:`channel_l2`."""

    def channel_scores(self, rows: Tensor) -> Tensor:
        """Return :func:`channel_l2`."""
        return channel_l2(rows)


@MODELS.register_module()
class GroupNormImportance(Importance):
    """Squared weights of all layers that make or read a channel, added up.

    The default normalization is the paper's relative score (``N I / sum of TopN(I)``)
    with all channels as ``N``. A group that only makes or only reads is scored by the
    slots it has.

    Args:
        normalization: Over the channels of a group, see :func:`~.combine.combined`.

    Raises:
        ValueError: If ``normalization`` is another word.
        ImportanceError: If a group has neither ``out`` nor ``in`` slots.
    """

    def __init__(self, normalization: str = "mean") -> None:
        check_combination("sum", normalization)
        self.normalization = normalization

    def __call__(self, group: ChannelGroup) -> Tensor:
        """Return the scores, shape ``(C,)``."""
        slots = slots_of(group, ("out", "in"), type(self).__name__)
        scores = slot_scores(group, slots, channel_square_sum)
        return combined(scores, "sum", self.normalization)
