"""The methods by name, applied to a layer group by group.

Shapes: ``G`` groups of a convolution, ``O`` outputs of one group, ``K`` its inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .layers import PrunableLayer
from .magnitude import magnitude_mask
from .masks import Pattern
from .sparse_gpt import HessianError, sparse_gpt
from .wanda import wanda_mask

NEED_BATCHES = ("wanda", "sparsegpt")


def _magnitude(weight: Tensor, hessian: Any, n: int, m: int, damping: float) -> tuple:
    return weight, magnitude_mask(weight, n, m)


def _wanda(weight: Tensor, hessian: Tensor, n: int, m: int, damping: float) -> tuple:
    return weight, wanda_mask(weight, hessian.diagonal().sqrt(), n, m)


#: By name: (weight_OK, hessian_KK or None, n, m, damping) -> weight_OK, mask_OK.
METHODS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "magnitude": _magnitude,
    "wanda": _wanda,
    "sparsegpt": sparse_gpt,
}


def pruned_weight(
    layer: PrunableLayer,
    hessian_GKK: Tensor | None,
    method: str,
    pattern: Pattern,
    damping: float,
) -> tuple[Tensor, float | None]:
    """Return what a method makes of a layer's weight; the layer stays as it is.

    Args:
        layer: The layer.
        hessian_GKK: ``X^T X`` of its inputs in each group, or None if not collected.
        method: A key of ``METHODS``.
        pattern: The pattern.
        damping: Of SparseGPT.

    Returns:
        The new weight, and the squared change of the outputs relative to the dense
        ones; None without a Hessian.

    Raises:
        ValueError: If the weight is not finite, or a Hessian has no inverse.
    """
    weight = layer.weight.detach()
    if not torch.isfinite(weight).all():
        raise ValueError(f"'{layer.name}' holds NaN or infinity. Train it again.")
    columns = pattern.columns(weight.shape).to(weight.device)
    new = torch.empty_like(weight.flatten(1))
    change = size = 0.0
    num_rows = len(weight) // layer.groups
    for group in range(layer.groups):
        rows = slice(group * num_rows, (group + 1) * num_rows)
        dense_OK = weight.flatten(1)[rows, columns]
        hessian = None
        if hessian_GKK is not None:
            hessian = hessian_GKK[group][columns][:, columns]
        try:
            found, mask = METHODS[method](
                dense_OK, hessian, pattern.n, pattern.m, damping
            )
        except HessianError as err:
            raise ValueError(f"'{layer.name}': {err}") from err
        sparse_OK = found.to(weight.dtype).masked_fill(~mask, 0.0)
        new[rows, columns] = sparse_OK
        if hessian is not None:
            change += _output_size(sparse_OK.double() - dense_OK.double(), hessian)
            size += _output_size(dense_OK.double(), hessian)
    error = None if hessian_GKK is None else (change / size if size else 0.0)
    return new.view(weight.shape), error


def _output_size(weight_OK: Tensor, hessian_KK: Tensor) -> float:
    """Return the sum of squared outputs: the trace of ``W H W^T``."""
    return max(float((weight_OK @ hessian_KK.double() * weight_OK).sum()), 0.0)
