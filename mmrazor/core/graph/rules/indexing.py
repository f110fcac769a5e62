"""Indexing, gathering and scattering by tensors of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..fields import compacted, narrowed, varying
from ..flow import Fields, Flow
from ..trace import OpCall
from .table import argument, rule


@rule("aten::index", "aten::_unsafe_index")
def index(flow: Flow, call: OpCall) -> None:
    """Pick elements by numbers or by a mask; what is picked so must stay."""
    x, indices, result = call.args[0], list(call.args[1]), call.result
    fields = []
    for field in _without_numbered(flow, flow.of(x), _indexed_dims(indices)):
        picked = compacted(field[_cpu(indices)])
        if len(varying(picked)) > 1:
            flow.grid(picked)
        fields.append(picked.expand(result.shape))
    flow.set(result, fields)


def _without_numbered(flow: Flow, fields: Fields, dims: Sequence[int]) -> Fields:
    """Forbid to drop along dims that numbers point into, which code keeps elsewhere."""
    left = []
    for field in fields:
        fixed = False
        for dim in varying(field):
            if dim in dims:
                fixed |= flow.forbid(field, dim, "is picked by number")
        if not fixed:
            left.append(field)
    return left


def _indexed_dims(indices: Sequence[Any]) -> list[int]:
    dims: list[int] = []
    place = 0
    for index in indices:
        width = 1
        if index is not None:
            if index.dtype in (torch.bool, torch.uint8):
                width = index.dim()
            dims += range(place, place + width)
        place += width
    return dims


def _cpu(indices: list[Any]) -> tuple:
    return tuple(slice(None) if i is None else i.cpu() for i in indices)


@rule("aten::index_select")
def index_select(flow: Flow, call: OpCall) -> None:
    """Pick slices by numbers; what is picked so must stay."""
    x, dim, numbers = (
        call.args[0],
        call.args[1] % call.args[0].dim(),
        call.args[2].cpu(),
    )
    fields = []
    for field in _without_numbered(flow, flow.of(x), [dim]):
        if dim in varying(field):
            fields.append(compacted(field.index_select(dim, numbers)))
        else:
            fields.append(field.narrow(dim, 0, 1).expand(call.result.shape))
    flow.set(call.result, fields)


@rule("aten::gather", "aten::take_along_dim")
def gather(flow: Flow, call: OpCall) -> None:
    """Pick along a dim that has no channels."""
    x, dim, numbers = (
        call.args[0],
        call.args[1] % max(call.args[0].dim(), 1),
        call.args[2],
    )
    fields = []
    for field in flow.of(x):
        inside = varying(field)
        whole = all(numbers.shape[d] == x.shape[d] for d in inside)
        if dim in inside or not whole:
            flow.freeze([field], "is gathered along its channels")
            continue
        fields.append(narrowed(field).expand(call.result.shape))
    flow.set(call.result, fields)


@rule("aten::index_put", "aten::_index_put_impl", "aten::index_copy", "aten::index_add")
def index_put(flow: Flow, call: OpCall) -> None:
    """Write into a tensor: what is written is tied to what was there."""
    x, result = call.args[0], call.result
    if call.name in ("aten::index_copy", "aten::index_add"):
        dim, numbers, values = call.args[1] % x.dim(), call.args[2], call.args[3]
        places: list[Any] = [None] * dim + [numbers]
    else:
        places, values = list(call.args[1]), call.args[2]
    fields = _without_numbered(flow, flow.of(x), _indexed_dims(places))
    if values.numel() == 0 or x.numel() == 0:
        flow.set(result, fields)
        return
    there = [compacted(field[_cpu(places)]) for field in fields]
    target = x[_cpu(places)].shape if not fields else there[0].shape
    lead = len(target) - values.dim()
    shape = [1] * lead + list(values.shape)
    if lead < 0:
        flow.freeze([*fields, *flow.of(values)], "is written in a way not followed")
        return
    written = [f[(None,) * lead] for f in flow.of(values)]
    if values.numel() > 1 or written:
        met = flow.merge([(list(target), there), (shape, written)], target)
        alive = {dim for field in met for dim in varying(field)}
        fields = [
            field
            for field, part in zip(fields, there, strict=True)
            if set(varying(part)) <= alive
        ]
    if not fields and written:
        flow.freeze(written, "is written into a tensor of fixed size")
    flow.set(result, fields)


@rule(
    "aten::scatter",
    "aten::scatter_add",
    "aten::scatter_reduce",
    "aten::masked_scatter",
    "aten::slice_scatter",
    "aten::select_scatter",
)
def scatter(flow: Flow, call: OpCall) -> None:
    """Write by number: channels that are written or written into stay."""
    for tensor in [call.args[0], argument(call, 3, "src")]:
        if isinstance(tensor, Tensor):
            flow.freeze(flow.of(tensor), "is scattered")


@rule("aten::masked_select", "aten::nonzero", "aten::unique_dim", "aten::_unique2")
def select_by_value(flow: Flow, call: OpCall) -> None:
    """Pick by value: the result has no channels."""
    flow.freeze(flow.of(call.args[0]), "is picked by value")
