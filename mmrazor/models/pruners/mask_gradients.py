"""Gradients to masks of ones, from a tensor and its gradient, sample by sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .readers import UnreadableError

_IMAGE_DIMS = 3  # channels, height, width; tokens have as many: batch, length, channels


def mask_gradients(
    values: Tensor, gradient: Tensor, axis: int, samples: int | None
) -> Tensor:
    """Return the gradient of a loss to a mask of ones on each sample's channels.

    Args:
        values: What the mask is on, shape ``(L, C, ...)`` for axis 1, ``(L, ..., C)``
            or ``(T, N, C)`` for axis -1, with ``L`` a multiple of ``N``.
        gradient: Of the loss to it.
        axis: That the channels lie along.
        samples: How many there are, ``N``.

    Returns:
        Shape ``(N, C)``, in float32 at least.

    Raises:
        UnreadableError: If it cannot be told which rows belong to which sample.

    Example:
        >>> values, gradient = torch.tensor([[1., 2.]]), torch.tensor([[3., -1.]])
        >>> mask_gradients(values, gradient, -1, 1).tolist()
        [[3.0, -2.0]]
    """
    wide = torch.promote_types(values.dtype, torch.float32)
    shape = values.shape
    product = (values.to(wide) * gradient.to(wide)).movedim(axis, -1)
    if samples == 1:
        return product.reshape(-1, shape[axis]).sum(0, keepdim=True)
    if not samples or not _has_rows(shape, axis, samples):
        raise UnreadableError(
            f"of shape {tuple(shape)}, in which the {samples or 'unknown'} samples of "
            "the batch cannot be told apart"
        )
    if shape[0] % samples:  # sequences first: (T, N, C)
        product = product.transpose(0, 1)
    return product.reshape(samples, -1, shape[axis]).sum(1)


def num_samples(inputs: Iterable[Any]) -> int | None:
    """Return how many samples a model is called with; None if it cannot be told.

    Args:
        inputs: Its arguments. The first that holds tensors tells: a batch, a mapping of
            batches, or a list of images.

    Example:
        >>> images = torch.zeros(4, 3, 8, 8)
        >>> num_samples([images]), num_samples([list(images)])
        (4, 4)
    """
    for value in inputs:
        if isinstance(value, Mapping):
            value = next((v for v in value.values() if isinstance(v, Tensor)), None)
        if isinstance(value, Tensor) and value.dim():
            return len(value)
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], Tensor):
            batches = value[0].dim() > _IMAGE_DIMS
            return None if batches else len(value)
    return None


def _has_rows(shape: torch.Size, axis: int, samples: int) -> bool:
    """Tell whether exactly one axis can be that of the samples."""
    second = axis == -1 and len(shape) == _IMAGE_DIMS and shape[1] == samples
    return (shape[0] % samples == 0) != second
