"""Importance by distance to the other filters.

Filter Pruning via Geometric Median (He et al., 2019, arXiv:1811.00250): a filter close
to all others of its layer can be expressed by them, so it goes first, however large it
is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ....registry import MODELS
from .base import SlotImportance


def sum_of_distances(rows: Tensor) -> Tensor:
    """Sum of Euclidean distances of each channel to all others.

    Args:
        rows: Weights by channel, shape ``(C, n)``.

    Returns:
        Shape ``(C,)``.

    Example:
        >>> sum_of_distances(torch.tensor([[0.], [1.], [3.]])).tolist()
        [4.0, 3.0, 5.0]
    """
    # Distances do not change with the mean; without it the products lose fewer digits.
    centred = rows - rows.mean(0)
    return torch.cdist(centred, centred).sum(1)


@MODELS.register_module()
class FPGMImportance(SlotImportance):
    """Distance to the other filters of the layer, see :func:`sum_of_distances`."""

    def channel_scores(self, rows: Tensor) -> Tensor:
        """Return :func:`sum_of_distances`."""
        return sum_of_distances(rows)
