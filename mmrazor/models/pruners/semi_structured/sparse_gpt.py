# The order of the columns is fixed, so the inverse Hessians of all remaining columns
# are in one Cholesky factor: a row of it is what Optimal Brain Surgeon (Hassibi et al.,
# 1993) needs to remove one weight and make good for it. Written from the paper.
"""SparseGPT: remove weights and let the remaining ones make good for them.

SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot (Frantar and
Alistarh, 2023, arXiv:2301.00774), algorithm 1 with the N:M mask of section 3.4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .masks import nm_mask

_BLOCK = 128


class HessianError(ValueError):
    """A Hessian that has no inverse."""


def sparse_gpt(
    weight_OK: Tensor, hessian_KK: Tensor, n: int, m: int, damping: float = 0.01
) -> tuple[Tensor, Tensor]:
    """Prune a layer so that its outputs on the calibration data change little.

    From left to right each removed weight's error is spread over the weights to its
    right; in each group of ``m`` those go that cost least. Inputs that were zero
    throughout the calibration go first, and what is kept of them is not changed.

    Args:
        weight_OK: Weights, shape ``(O, K)``, ``K`` divisible by ``m``.
        hessian_KK: ``X^T X`` of the layer's inputs, shape ``(K, K)``.
        n: Weights kept of every ``m`` neighbours.
        m: Size of a group.
        damping: Added to the diagonal, as a fraction of its mean over the inputs that
            are not zero; at least 0.

    Returns:
        The new weights in float64, zero where removed, and the mask, True where kept;
        both of shape ``(O, K)``.

    Raises:
        HessianError: If the damped Hessian has no inverse.

    Example:
        >>> weight, mask = sparse_gpt(
        ...     torch.tensor([[1., 2.]]), torch.tensor([[2., 2.], [2., 4.]]), 1, 2, 0.0)
        >>> weight.round(decimals=6).tolist(), mask.tolist()  # 2 + 1 * 2/4
        ([[0.0, 2.5]], [[False, True]])
    """
    live_K = hessian_KK.diagonal() > 0
    factor = _inverse_factor(hessian_KK, live_K, damping)
    weight = weight_OK.to(factor.dtype, copy=True)
    mask = torch.empty_like(weight, dtype=torch.bool)
    size = max(_BLOCK // m, 1) * m
    for start in range(0, weight.shape[1], size):
        block = slice(start, start + size)
        errors = _prune_block_(
            weight[:, block], mask[:, block], factor[block, block], live_K[block], n, m
        )
        weight[:, start + size :] -= errors @ factor[block, start + size :]
    return weight, mask


def _prune_block_(
    weight: Tensor, mask: Tensor, factor: Tensor, live: Tensor, n: int, m: int
) -> Tensor:
    """Prune some columns in place; return what the columns to the right must bear."""
    errors = torch.zeros_like(weight)
    diagonal = factor.diagonal()
    for j in range(weight.shape[1]):
        if j % m == 0:
            group = slice(j, j + m)
            costs = (weight[:, group] / diagonal[group]).square() * live[group]
            mask[:, group] = nm_mask(costs, n, m, ties=weight[:, group].abs())
        removed = ~mask[:, j]
        errors[:, j] = torch.where(removed, weight[:, j] / diagonal[j], 0.0)
        weight[:, j + 1 :] -= errors[:, j, None] * factor[j, j + 1 :]
        weight[:, j].masked_fill_(removed, 0.0)
    return errors


def _inverse_factor(hessian: Tensor, live: Tensor, damping: float) -> Tensor:
    """Return ``U``, upper triangular, with ``U^T U`` the inverse of the damped Hessian.

    Row ``j`` of ``U`` times ``U[j, j]`` is the first row of the inverse of
    ``hessian[j:, j:]``.
    """
    damped = hessian.to(torch.float64, copy=True)
    diagonal = damped.diagonal()
    if live.any():
        diagonal += damping * diagonal[live].mean()
    diagonal[~live] = 1.0
    try:
        # Factored from its last row up, H = R R^T with R upper triangular.
        upper = torch.linalg.cholesky(damped.flip(0, 1)).flip(0, 1)
    except torch.linalg.LinAlgError as err:
        raise HessianError(
            f"the Hessian with damping={damping} has no inverse. Raise damping, or "
            "give more calibration data."
        ) from err
    identity = torch.eye(len(upper), dtype=upper.dtype, device=upper.device)
    return torch.linalg.solve_triangular(upper, identity, upper=True)
