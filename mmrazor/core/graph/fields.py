# Legend: a *field* is a tensor of channel ids with the shape of the tensor it
# describes. Along a dimension on which the ids do not depend its stride is 0, so a
# field of a large feature map takes the memory of one line and moves through views
# without a copy.
"""Arrays that say which channel every element of a tensor belongs to."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor


def varying(field: Tensor) -> tuple[int, ...]:
    """Return the dimensions along which the ids change.

    Example:
        >>> varying(line_field(torch.arange(4), (2, 4, 8), 1))
        (1,)
    """
    strides = field.stride()
    return tuple(
        [d for d, size in enumerate(field.shape) if size > 1 and strides[d] != 0]
    )


def line_field(ids: Tensor, shape: Sequence[int], dim: int) -> Tensor:
    """Spread one line of ids along a dimension over a whole shape.

    Args:
        ids: Shape ``(shape[dim],)``.
        shape: Shape of the tensor to describe.
        dim: Dimension that the ids belong to.
    """
    view = [1] * len(shape)
    view[dim] = len(ids)
    return ids.view(view).expand(*shape)


def squeezed(field: Tensor) -> Tensor:
    """Drop the dimensions along which the ids do not change.

    Example:
        >>> squeezed(line_field(torch.arange(4), (2, 4, 8), 1)).tolist()
        [0, 1, 2, 3]
    """
    dims = varying(field)
    if len(dims) == field.dim():
        return field
    shape, strides = field.shape, field.stride()
    return field.as_strided([shape[d] for d in dims], [strides[d] for d in dims])


def narrowed(field: Tensor, keep: Collection[int] | None = None) -> Tensor:
    """Take the first element along all other dims than some.

    Args:
        field: A field.
        keep: Dims that stay as long as they are; by default those that vary.

    Example:
        >>> narrowed(line_field(torch.arange(4), (2, 4, 8), 1)).shape
        torch.Size([1, 4, 1])
    """
    wide = varying(field) if keep is None else keep
    for dim, size in enumerate(field.shape):
        if size > 1 and dim not in wide:
            field = field.narrow(dim, 0, 1)
    return field


def compacted(field: Tensor) -> Tensor:
    """Give the dimensions along which the ids turn out to be equal the stride 0.

    Example:
        >>> varying(compacted(torch.tensor([[1, 2], [1, 2]])))
        (1,)
    """
    shape, dims = field.shape, varying(field)
    field = narrowed(field)
    for dim in dims:
        first = field.narrow(dim, 0, 1)
        if bool((field == first).all()):
            field = first
    return field.expand(shape)


def reshaped(field: Tensor, shape: Sequence[int]) -> Tensor:
    """Reshape a field, without spreading what it does not depend on where possible."""
    target = list(shape)
    if len(field) == 0 or 0 in target:
        return field.reshape(target)
    narrow, small = _pass_through(field, target)
    source = field
    for dim in narrow:
        source = source.narrow(dim, 0, 1)
    result = source.reshape(small)
    copied = result.data_ptr() != field.data_ptr()
    if copied or len(varying(result)) > 1:
        result = compacted(result)
    return result.expand(target)


def _pass_through(field: Tensor, target: list[int]) -> tuple[list[int], list[int]]:
    """Find unvarying dimensions that a reshape hands on as they are.

    Returns:
        Dimensions of the field that may be narrowed to 1, and the target shape with
        their counterparts narrowed too.
    """
    ends: dict[tuple[int, int], int] = {}
    before = 1
    for dim, size in enumerate(target):
        if size > 1:
            ends[(before, size)] = dim
        before *= size
    narrow, small = [], list(target)
    before = 1
    for dim, size in enumerate(field.shape):
        if size > 1 and field.stride(dim) == 0 and (before, size) in ends:
            narrow.append(dim)
            small[ends[(before, size)]] = 1
        before *= size
    return narrow, small


def without_last(field: Tensor, count: int) -> Tensor:
    """Drop the last dims, along which the ids do not change.

    Example:
        >>> without_last(line_field(torch.arange(4), (2, 4, 8), 1), 1).shape
        torch.Size([2, 4])
    """
    for _ in range(count):
        field = field.select(-1, 0)
    return field


def with_last(field: Tensor, count: int) -> Tensor:
    """Append dims of size 1.

    Example:
        >>> with_last(torch.arange(4), 2).shape
        torch.Size([4, 1, 1])
    """
    for _ in range(count):
        field = field.unsqueeze(-1)
    return field


def broadcast_to(field: Tensor, shape: Sequence[int]) -> Tensor:
    """Expand a field to a shape that its tensor is broadcast to."""
    return field if field.shape == torch.Size(shape) else field.expand(*shape)
