# Silencing a channel by zeros is the same as removing it for every operation that sums
# its inputs. It is not for those below: the mean over nine channels is not the mean
# over ten with a zero. There the reference run leaves the silenced channels out.
"""Tell which operations mix the elements along a dim, and leave some of them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .fields import narrowed, varying
from .flow import Flow
from .rules.table import PRODUCTS, REDUCTIONS, dims_of, reduced_dims
from .trace import op_name

_SOFTMAX = frozenset({"aten::_softmax", "aten::_log_softmax", "aten::_safe_softmax"})
_BATCH_NORMS = frozenset(
    f"aten::{name}"
    for name in ["native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"]
)


def mixed_dims(name: str, args: tuple, kwargs: dict) -> tuple[Tensor, list[int]] | None:
    """Return the tensor and its dims whose elements an operation mixes, if any.

    Example:
        >>> import torch
        >>> mixed_dims('aten::_softmax', (torch.zeros(2, 3), -1, False), {})[1]
        [1]
    """
    if name == "aten::native_layer_norm" or name == "aten::_fused_rms_norm":
        x = args[0]
        return x, list(range(x.dim() - len(args[1]), x.dim()))
    if name == "aten::native_group_norm":
        return args[0], [1]
    if name in _BATCH_NORMS and any(arg is True for arg in args):  # in training
        return args[0], [dim for dim in range(args[0].dim()) if dim != 1]
    if name == "aten::_weight_norm_interface":  # rows of length 0 would be nan
        return args[0], [_rows(args, kwargs)]
    if name in _SOFTMAX:
        return args[0], dims_of(args[1], args[0].dim())
    if name in PRODUCTS:
        a = args[PRODUCTS[name]]
        return a, [a.dim() - 1]
    if name in REDUCTIONS:
        x = args[0]
        if len(args) > 1 and isinstance(args[1], Tensor):  # max(a, b) of two tensors
            return None
        return x, reduced_dims(name, args, kwargs, x.dim())
    return None


_POLES = frozenset(
    f"aten::{name}"
    for name in ["log", "log2", "log10", "logit", "reciprocal", "rsqrt", "digamma"]
)
_DIVISIONS = frozenset(
    f"aten::{name}"
    for name in ["div", "true_divide", "remainder", "fmod", "floor_divide"]
)


def infinite_at_zero(name: str, args: tuple) -> Tensor | None:
    """Return the tensor that an operation must not be zero in, if there is one.

    Example:
        >>> import torch
        >>> infinite_at_zero('aten::pow', (torch.zeros(1), -0.5))
        tensor([0.])
    """
    if name in _POLES:
        return args[0]
    if name in _DIVISIONS and isinstance(args[1], Tensor):
        return args[1]
    if name == "aten::pow" and not isinstance(args[1], Tensor) and args[1] < 0:
        return args[0]
    return None


def blank(flow: Flow, result: Tensor) -> None:
    """Put zeros where a result is silenced, whatever was computed there."""
    for field in flow.of(result):
        result.masked_fill_(field.to(result.device), 0)


def _rows(args: tuple, kwargs: dict) -> int:
    return args[2] if len(args) > 2 else kwargs.get("dim", 0)


def dropped_lines(flow: Flow, tensor: Tensor, dims: Sequence[int]) -> dict[int, Tensor]:
    """Return, for each dim that loses elements, which ones (booleans)."""
    lines: dict[int, Tensor] = {}
    for field in flow.of(tensor):
        for dim in varying(field):
            if dim not in dims:
                continue
            rows = narrowed(field).movedim(dim, 0)
            line = rows.reshape(len(rows), -1).all(1)
            if bool(line.any()):
                lines[dim] = lines[dim] | line if dim in lines else line
    return lines


def run_without(func: Any, args: tuple, kwargs: dict, lines: dict[int, Tensor]) -> Any:
    """Run an operation on the elements that are kept; silenced ones come out as 0.

    Args:
        func: One of the operations of :func:`mixed_dims`.
        args: Its arguments.
        kwargs: Its keyword arguments.
        lines: For dims of the mixed tensor, which elements to leave out.
    """
    name = op_name(func)
    device = args[0].device
    keep = {dim: (~x).nonzero().flatten().to(device) for dim, x in lines.items()}
    if name in PRODUCTS:
        place = PRODUCTS[name]
        a, b = args[place], args[place + 1]
        (index,) = keep.values()
        small = (a.index_select(-1, index), b.index_select(-2, index))
        return func(*args[:place], *small, *args[place + 2 :], **kwargs)
    x = args[0]
    small = x
    for dim, index in keep.items():
        small = small.index_select(dim, index)
    if name in REDUCTIONS:
        return func(small, *args[1:], **kwargs)
    if name in _SOFTMAX:
        return _spread(func(small, *args[1:], **kwargs), x.shape, keep)
    if name == "aten::_weight_norm_interface":
        ((dim, index),) = keep.items()
        out = func(small, args[1].index_select(dim, index), *args[2:], **kwargs)
        return (_spread(out[0], x.shape, keep), *out[1:])
    if name in _BATCH_NORMS:
        out = func(small, *args[1:], **kwargs)
        return (_spread(out[0], x.shape, keep), *out[1:])
    vectors = [_thin(v, x, keep, name) for v in args[2:4]]
    if name == "aten::native_group_norm":
        weight, bias = (_thin(v, x, keep, name) for v in args[1:3])
        groups = _groups(lines[1], args[6])
        out = func(
            small, weight, bias, args[3], small.shape[1], args[5], groups, *args[7:]
        )
    else:
        shape = list(small.shape[small.dim() - len(args[1]) :])
        out = func(small, shape, *vectors, *args[4:], **kwargs)
    return (_spread(out[0], x.shape, keep), *out[1:])


def _groups(line: Tensor, groups: int) -> int:
    """Return how many norm groups are left: whole ones go, or parts of all."""
    whole = line.view(groups, -1).all(1)
    return int((~whole).sum())


def _thin(vector: Any, x: Tensor, keep: dict[int, Tensor], name: str) -> Any:
    if not isinstance(vector, Tensor):
        return vector
    for dim, index in keep.items():
        own = 0 if name == "aten::native_group_norm" else dim - x.dim() + vector.dim()
        vector = vector.index_select(own, index)
    return vector


def _spread(small: Tensor, shape: Sequence[int], keep: dict[int, Tensor]) -> Tensor:
    for dim, index in keep.items():
        wide = list(small.shape)
        wide[dim] = shape[dim]
        small = small.new_zeros(wide).index_copy(dim, index, small)
    return small


__all__ = ["blank", "dropped_lines", "infinite_at_zero", "mixed_dims", "run_without"]
