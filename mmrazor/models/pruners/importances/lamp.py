"""Importance that one threshold may compare across layers.

Layer-adaptive Sparsity for the Magnitude-based Pruning (Lee et al., 2021,
arXiv:2010.07611) is for single weights: the square of a weight over the sum of squares
of all weights of the layer that are not smaller. Here a channel takes the place of a
weight and the sum of its squared weights that of the square, so the score is the share
that it has of what is left once all smaller channels are gone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ....core.graph.channel_group import ChannelGroup
from ....registry import MODELS
from .base import Importance, Roles, checked_roles, slot_scores, slots_of
from .magnitude import channel_square_sum


def lamp_scores(squares: Tensor) -> Tensor:
    """Share of each channel in the sum over channels that are not smaller.

    Args:
        squares: Squared norm of each channel, shape ``(C,)``.

    Returns:
        Shape ``(C,)``, in [0, 1]; the largest channel has 1. Of equal channels the
        later one counts as the larger; where nothing but zeros is left, 0.

    Example:
        >>> lamp_scores(torch.tensor([4., 1., 3.])).tolist()
        [1.0, 0.125, 0.4285714328289032]
    """
    ascending = torch.argsort(squares, stable=True)
    sorted_squares = squares[ascending]
    left = sorted_squares.flip(0).cumsum(0).flip(0)
    shares = torch.where(left > 0, sorted_squares / left, torch.zeros_like(left))
    return torch.empty_like(shares).scatter(0, ascending, shares)


@MODELS.register_module()
class LAMPImportance(Importance):
    """LAMP score of channels, see :func:`lamp_scores`.

    Args:
        roles: Slots whose squared weights are added up for a channel.

    Raises:
        ValueError: If ``roles`` has another word.
        ImportanceError: If a group has no slot of these roles.
    """

    def __init__(self, roles: Roles = ("out",)) -> None:
        self.roles = checked_roles(roles)

    def __call__(self, group: ChannelGroup) -> Tensor:
        """Return the scores, shape ``(C,)``."""
        slots = slots_of(group, self.roles, type(self).__name__)
        return lamp_scores(slot_scores(group, slots, channel_square_sum).sum(0))
