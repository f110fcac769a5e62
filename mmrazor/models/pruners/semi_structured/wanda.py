"""Wanda: keep the weights that matter most on real inputs.

A Simple and Effective Pruning Approach for Large Language Models (Sun et al., 2023,
arXiv:2306.11695). Each output's weights compete by magnitude times input norm; the kept
ones stay as they are.
"""

from __future__ import annotations

from torch import Tensor

from .masks import nm_mask


def wanda_scores(weight_OK: Tensor, norms_K: Tensor) -> Tensor:
    """Return ``|W_ij| * ||X_j||``, equation 1 of the paper.

    Args:
        weight_OK: Weights, shape ``(O, K)``.
        norms_K: L2 norm of each input over all calibration data, shape ``(K,)``.

    Returns:
        Scores, shape ``(O, K)``.

    Example:
        >>> import torch
        >>> wanda_scores(torch.tensor([[-3., 1.]]), torch.tensor([1., 4.])).tolist()
        [[3.0, 4.0]]
    """
    return weight_OK.abs() * norms_K


def wanda_mask(weight_OK: Tensor, norms_K: Tensor, n: int, m: int) -> Tensor:
    """Return which weights to keep by :func:`wanda_scores`.

    Inputs that were zero throughout the calibration go first, the smallest weights
    first among them.

    Args:
        weight_OK: Weights, shape ``(O, K)``, ``K`` divisible by ``m``.
        norms_K: As for :func:`wanda_scores`.
        n: Weights kept of every ``m`` neighbours.
        m: Size of a group.

    Returns:
        True where kept, shape ``(O, K)``.
    """
    return nm_mask(wanda_scores(weight_OK, norms_K), n, m, ties=weight_OK.abs())
