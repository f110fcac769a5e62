"""Slices and splits: code may count the parts, or name their bounds."""

from __future__ import annotations

import torch
from torch import Tensor

from ..fields import varying
from ..flow import Fields, Flow
from ..trace import OpCall
from .table import argument, rule


@rule("aten::slice", "aten::narrow")
def cut(flow: Flow, call: OpCall) -> None:
    """Take a range; its bounds may be numbers that the code keeps as attributes."""
    source, result = call.args[0], call.result
    if call.name == "aten::narrow":
        dim = call.args[1] % source.dim()
        start, step = int(call.args[2]) % max(source.shape[dim], 1), 1
    else:
        dim = argument(call, 1, "dim", 0) % source.dim()
        start = argument(call, 2, "start", None) or 0
        step = argument(call, 4, "step", 1)
    size = source.shape[dim]
    start = min(start + size if start < 0 else start, size)
    stop = start + (result.shape[dim] - 1) * step + 1 if result.shape[dim] else start
    fields = flow.of(source)
    if result.shape[dim] == 1 and size > 1:
        keep_picked(flow, fields, dim, start)
    elif step == 1:
        _equal_parts(flow, source, dim, start, stop)
    else:
        _stepped(flow, source, dim, step)
    # a field is cut with its own stride, so that equal ranges stay equal views
    parts = [f.narrow(dim, start, stop - start) for f in fields]
    if step != 1:
        index = torch.arange(0, stop - start, step)
        parts = [
            f.index_select(dim, index)
            if dim in varying(f)
            else f.narrow(dim, 0, 1).expand(result.shape)
            for f in parts
        ]
    for field in fields:
        if dim in varying(field):
            for bound in (start, stop):
                if 1 < bound < size:
                    flow.size_argument(bound, field.narrow(dim, 0, bound), dim)
            if 1 < stop - start < size:
                flow.size_argument(
                    stop - start, field.narrow(dim, start, stop - start), dim
                )
    flow.set(result, parts)


def keep_picked(flow: Flow, fields: Fields, dim: int, index: int | None = None) -> None:
    """Freeze what code picks by number, and what comes before it and is counted.

    Args:
        flow: The flow.
        fields: Fields of the tensor.
        dim: Dim along which something is picked.
        index: The number; None if there are several.
    """
    for field in fields:
        if dim not in varying(field):
            continue
        if index is not None and len(varying(field)) == 1:
            field = field.narrow(dim, 0, index % field.shape[dim] + 1)
        flow.forbid(field, dim, "is picked by number")


_MOST_PARTS = 4


def _equal_parts(flow: Flow, source: Tensor, dim: int, start: int, stop: int) -> None:
    """Take a half, third or quarter as part of an equal split: code may count it."""
    size, length = source.shape[dim], stop - start
    if length < 2 or size % length or start % length:
        return
    parts = size // length
    if 1 < parts <= _MOST_PARTS:
        split_equally(flow, source, dim, parts)


def _stepped(flow: Flow, source: Tensor, dim: int, step: int) -> None:
    """Let channels go only with all those up to the next one that is taken."""
    shape = list(source.shape)
    shape[dim : dim + 1] = [max(shape[dim] // step, 1), step]
    for field in flow.of(source):
        if dim not in varying(field):
            continue
        if source.shape[dim] % step:
            flow.forbid(field, dim, "is sliced with a step")
            continue
        grid = flow.split_grid(field, shape)
        if dim + 1 in varying(grid):
            flow.forbid(grid, dim + 1, "is sliced with a step")


def split_equally(flow: Flow, source: Tensor, dim: int, parts: int) -> None:
    """Let the parts that code cuts a dim into lose the same places each."""
    shape = list(source.shape)
    shape[dim : dim + 1] = [parts, source.shape[dim] // parts]
    for field in flow.of(source):
        if dim in varying(field):
            grid = flow.split_grid(field, shape, prefer=dim + 1)
            if dim in varying(grid):
                flow.forbid(grid, dim, "is split into a fixed number of parts")


@rule("aten::split", "aten::split_with_sizes", "aten::chunk", "aten::tensor_split")
def split(flow: Flow, call: OpCall) -> None:
    """Cut into parts; equal parts are a grid, since code may count instead of name."""
    source, parts = call.args[0], call.result
    dim = argument(call, 2, "dim", 0) % source.dim()
    sizes = [part.shape[dim] for part in parts]
    if len(set(sizes)) == 1 and len(sizes) > 1 and sizes[0] > 1:
        split_equally(flow, source, dim, len(sizes))
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    for part, start, size in zip(parts, starts, sizes, strict=True):
        pieces = [field.narrow(dim, start, size) for field in flow.of(source)]
        if size == 1 and len(parts) > 1:
            keep_picked(flow, flow.of(source), dim, start)
        for piece in pieces:
            if dim in varying(piece):
                flow.size_argument(size, piece, dim)
        flow.set(part, pieces)
