"""Operations that move elements: fields move in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor

from ..fields import compacted, narrowed, reshaped, varying
from ..flow import Fields, Flow
from ..trace import OpCall
from .slicing import keep_picked
from .table import argument, dims_of, rule


@rule("aten::view", "aten::_unsafe_view", "aten::reshape", "aten::_reshape_alias")
def view(flow: Flow, call: OpCall) -> None:
    """Split and merge dims; a split dim makes a grid."""
    result = call.result
    source = _apart(flow, flow.of(call.args[0]), result.shape)
    fields = [flow.split_grid(field, result.shape) for field in source]
    _note_sizes(flow, fields)
    flow.set(result, fields)


def _apart(flow: Flow, fields: Fields, shape: Sequence[int]) -> Fields:
    """Join fields along dims that a new shape merges: one index then means both."""
    if len(fields) < 2:
        return fields
    left = list(fields)
    for block in _merged_dims(fields[0].shape, shape):
        inside = [field for field in left if block & set(varying(field))]
        if len({frozenset(block & set(varying(field))) for field in inside}) > 1:
            left = [field for field in left if not block & set(varying(field))]
            left.append(flow.joined(inside))
    return left


def _merged_dims(old: Sequence[int], new: Sequence[int]) -> list[set[int]]:
    """Return sets of dims that a reshape does not keep apart."""
    ends = set(accumulate(new, mul))
    blocks: list[set[int]] = [set()]
    for dim, end in enumerate(accumulate(old, mul)):
        blocks[-1].add(dim)
        if end in ends:
            blocks.append(set())
    return [block for block in blocks if len(block) > 1]


@rule("aten::expand")
def expand(flow: Flow, call: OpCall) -> None:
    """Repeat along dims of size 1."""
    source, result = call.args[0], call.result
    lead = result.dim() - source.dim()
    fields = [f[(None,) * lead].expand(result.shape) for f in flow.of(source)]
    _note_sizes(flow, fields)
    flow.set(result, fields)


def _note_sizes(flow: Flow, fields: list[Tensor]) -> None:
    for field in fields:
        for dim in varying(field):
            flow.size_argument(field.shape[dim], field, dim)


_SAME_CALL: dict[str, Callable[..., Any]] = {
    "permute": lambda x, dims: x.permute(*dims),
    "transpose": torch.transpose,
    "t": torch.t,
    "numpy_T": lambda x: x.T,
    "adjoint": lambda x: x.mT,
    "swapaxes": torch.swapaxes,
    "movedim": torch.movedim,
    "select": torch.select,
    "unsqueeze": torch.unsqueeze,
    "squeeze": torch.squeeze,
    "unbind": torch.unbind,
    "diagonal": torch.diagonal,
    "unfold": lambda x, dim, size, step: x.unfold(dim, size, step),
    "flip": torch.flip,
    "rot90": torch.rot90,
}


@rule(*(f"aten::{name}" for name in _SAME_CALL))
def move(flow: Flow, call: OpCall) -> None:
    """Do to the fields what is done to the tensor."""
    name = call.name.removeprefix("aten::")
    function = _SAME_CALL[name]
    source, result = call.args[0], call.result
    fields = flow.of(source)
    for dim in _fixed_dims(name, call, source.dim()):
        index = argument(call, 2, "index", 0) if name == "select" else None
        keep_picked(flow, fields, dim, index)
    if isinstance(result, Tensor):
        flow.set(result, [function(f, *call.args[1:], **call.kwargs) for f in fields])
        return
    moved = [function(f, *call.args[1:], **call.kwargs) for f in fields]
    for index, part in enumerate(result):
        flow.set(part, [pieces[index] for pieces in moved])


def _fixed_dims(name: str, call: OpCall, ndim: int) -> list[int]:
    """Return the dims along which an operation picks elements by their number."""
    if name in ("select", "unbind", "unfold"):
        return [argument(call, 1, "dim", 0) % ndim]
    if name == "diagonal":
        return [
            argument(call, 2, "dim1", 0) % ndim,
            argument(call, 3, "dim2", 1) % ndim,
        ]
    return []


@rule("aten::tril", "aten::triu", "aten::real")
def keep(flow: Flow, call: OpCall) -> None:
    """Hand on the fields: elements stay where they are."""
    if call.result.shape == call.args[0].shape:
        flow.set(call.result, flow.of(call.args[0]))


@rule("aten::roll", "aten::cumsum", "aten::cumprod")
def along(flow: Flow, call: OpCall) -> None:
    """Roll or accumulate: only fields along other dims are handed on."""
    source = call.args[0]
    dims = dims_of(
        argument(call, 2 if call.name == "aten::roll" else 1, "dims"), source.dim()
    )
    for field in flow.of(source):
        for dim in set(varying(field)) & set(dims):
            flow.forbid(field, dim, "is moved along its channels")
    fields = [f for f in flow.of(source) if not set(varying(f)) & set(dims)]
    flow.set(call.result, fields)


@rule("aten::repeat")
def repeat(flow: Flow, call: OpCall) -> None:
    """Tile a tensor: channels along a tiled dim appear several times."""
    source, result = call.args[0], call.result
    times = list(call.args[1])
    lead = result.dim() - source.dim()
    fields = []
    for field in flow.of(source):
        field = field[(None,) * lead]
        inside = set(varying(field))
        counts = [n if d in inside else 1 for d, n in enumerate(times)]
        tiled = narrowed(field).repeat(counts)
        fields.append(compacted(tiled).expand(result.shape))
    flow.set(result, fields)


@rule("aten::repeat_interleave")
def repeat_interleave(flow: Flow, call: OpCall) -> None:
    """Repeat along a dim that has no channels; freeze channels that are repeated."""
    source, result = call.args[0], call.result
    if not isinstance(result, Tensor) or not isinstance(source, Tensor):
        return
    for field in flow.of(source):
        flow.freeze([field], "is repeated along its channels")


@rule("aten::pixel_shuffle", "aten::pixel_unshuffle")
def pixel_shuffle(flow: Flow, call: OpCall) -> None:
    """Move channels into space or back; what becomes one channel stays together."""
    source, factor, result = call.args[0], call.args[1], call.result
    lead = list(source.shape[:-3])
    depth = len(lead)
    fields = []
    for field in flow.of(source):
        spatial = {depth + 1, depth + 2} & set(varying(field))
        for dim in spatial:
            flow.forbid(field, dim, "is shuffled along space")
        if depth not in varying(field) or spatial:
            continue
        if call.name == "aten::pixel_shuffle":
            shape = [*lead, result.shape[-3], factor * factor, *source.shape[-2:]]
            grid = flow.split_grid(field, shape, prefer=depth)
            line = (
                grid if depth + 1 not in varying(grid) else flow.project(grid, (depth,))
            )
            line = line.select(depth + 1, 0).narrow(-1, 0, 1).narrow(-2, 0, 1)
        else:
            line = field.narrow(-1, 0, 1).narrow(-2, 0, 1)
            line = line.repeat_interleave(factor * factor, dim=depth)
        fields.append(line.expand(result.shape))
    flow.set(result, fields)


@rule("aten::native_channel_shuffle", "aten::channel_shuffle")
def channel_shuffle(flow: Flow, call: OpCall) -> None:
    """Interleave groups of channels: the same offsets of all groups stay together."""
    source, groups = call.args[0], call.args[1]
    batch, channels, *space = source.shape
    shape = [batch, groups, channels // groups, *space]
    fields = []
    for field in flow.of(source):
        grid = flow.split_grid(field, shape)
        fields.append(reshaped(grid.transpose(1, 2), source.shape))
    flow.set(call.result, fields)


@rule("aten::as_strided")
def as_strided(flow: Flow, call: OpCall) -> None:
    """Another layout of the same elements (pooling of channels-last maps) is a copy."""
    source, result = call.args[0], call.result
    if source.shape == result.shape:
        flow.set(result, flow.of(source))
    else:
        flow.freeze(flow.of(source), "is viewed with strides of its own")
