"""Concatenation, stacking and padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..fields import compacted, line_field, narrowed, varying
from ..flow import Fields, Flow
from ..trace import OpCall
from .table import argument, rule


@rule("aten::cat", "aten::concat", "aten::concatenate")
def cat(flow: Flow, call: OpCall) -> None:
    """Join along a dim: lines along it are joined, what lies across it is tied."""
    tensors = [t for t in call.args[0] if t.numel() > 0]
    result = call.result
    dim = argument(call, 1, "dim", 0) % result.dim()
    parts = [(t, flow.of(t)) for t in tensors]
    flow.set(result, _joined(flow, parts, result.shape, dim))


@rule("aten::stack")
def stack(flow: Flow, call: OpCall) -> None:
    """Join along a new dim."""
    result = call.result
    dim = argument(call, 1, "dim", 0) % result.dim()
    shape = [1 if d == dim else size for d, size in enumerate(result.shape)]
    fields = [flow.of(t) for t in call.args[0]]
    operands = [(shape, [f.unsqueeze(dim) for f in each]) for each in fields]
    merged = flow.merge(operands, shape)
    flow.set(result, [f.expand(result.shape) for f in merged])


def _joined(
    flow: Flow,
    parts: Sequence[tuple[Tensor, Fields]],
    shape: Sequence[int],
    dim: int,
) -> Fields:
    if not any(fields for _, fields in parts):
        return []
    across = [[f for f in fields if dim not in varying(f)] for _, fields in parts]
    along = [[f for f in fields if dim in varying(f)] for _, fields in parts]
    narrow = [1 if d == dim else size for d, size in enumerate(shape)]
    operands = []
    for (tensor, fields), crossing in zip(parts, across, strict=True):
        # a line along dim and another one also lies across it
        thin = [f.narrow(dim, 0, 1) for f in crossing]
        wide = [f for f in fields if dim in varying(f) and len(varying(f)) > 1]
        sizes = [1 if d == dim else n for d, n in enumerate(tensor.shape)]
        for field in wide:
            for d in varying(field):
                if d != dim:
                    sizes[d] = 1  # taken care of by the joined grid
        operands.append((sizes, thin))
    merged = [f.expand(list(shape)) for f in flow.merge(operands, narrow)]
    if not any(along):
        return merged
    dims: set[int] = {dim}
    for fields in along:
        dims |= {d for field in fields for d in varying(field)}
    pieces = []
    for (tensor, _), fields in zip(parts, along, strict=True):
        flow.freeze(fields[1:], "is joined in a way that is not followed")
        if fields:
            piece = fields[0]
        else:
            piece = line_field(flow.fresh(tensor.shape[dim]), tensor.shape, dim)
            if tensor.shape[dim] > 1:
                flow.forbid(piece, dim, "is joined with a tensor of fixed size")
        pieces.append(narrowed(piece, dims))
    joined = compacted(torch.cat(pieces, dim))
    if len(varying(joined)) > 1:
        flow.grid(joined)
    return [*merged, joined.expand(list(shape))]


@rule("aten::constant_pad_nd", "aten::pad")
def pad(flow: Flow, call: OpCall) -> None:
    """Pad space, or put fixed channels around channels."""
    x, amounts, result = call.args[0], call.args[1], call.result
    padded = {x.dim() - 1 - i // 2 for i, amount in enumerate(amounts) if amount}
    fields = []
    for field in flow.of(x):
        touched = padded & set(varying(field))
        if not touched:
            for dim in padded:
                field = field.narrow(dim, 0, 1)
            fields.append(field.expand(result.shape))
            continue
        if len(varying(field)) > 1:
            flow.freeze([field], "is padded along its channels")
            continue
        (dim,) = touched
        before, after = (amounts[2 * (x.dim() - 1 - dim) + side] for side in (0, 1))
        line = field[tuple(slice(None) if d == dim else 0 for d in range(x.dim()))]
        if before < 0 or after < 0:
            line = line[max(-before, 0) : len(line) + min(after, 0)]
        ends = []
        for amount in (max(before, 0), max(after, 0)):
            end = flow.fresh(amount)
            if amount > 1:
                flow.forbid(end, 0, "is padding")
            ends.append(end)
        line = torch.cat([ends[0], line, ends[1]])
        fields.append(line_field(line, result.shape, dim))
    flow.set(result, fields)
