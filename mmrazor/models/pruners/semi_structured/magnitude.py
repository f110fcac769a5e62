"""Magnitude: keep the largest weights.

Accelerating Sparse Deep Neural Networks (Mishra et al., 2021, arXiv:2104.08378),
section 4: of every four weights the two of largest absolute value stay.
"""

from __future__ import annotations

from torch import Tensor

from .masks import nm_mask


def magnitude_mask(weight_OK: Tensor, n: int, m: int) -> Tensor:
    """Return which weights to keep by their absolute value.

    Args:
        weight_OK: Weights, shape ``(O, K)``, ``K`` divisible by ``m``.
        n: Weights kept of every ``m`` neighbours.
        m: Size of a group.

    Returns:
        True where kept, shape ``(O, K)``.

    Example:
        >>> import torch
        >>> magnitude_mask(torch.tensor([[-3., 1., 2., -1.]]), 2, 4).int().tolist()
        [[1, 0, 1, 0]]
    """
    return nm_mask(weight_OK.abs(), n, m)
