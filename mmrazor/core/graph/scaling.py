# `q @ k.T / math.sqrt(q.shape[-1])`, and torch's own attention, turn the width of a
# head into a factor. A narrower head then is scaled differently, which is not what the
# model did without the channels that were dropped. In the calls of a smaller model such
# factors are other numbers than in those of the original.
"""Find channels whose number code turns into a factor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from .fields import varying
from .flow import Flow
from .trace import OpCall, OpTrace, tensors_in

_NAMES = "mul div true_divide floor_divide add sub rsub pow baddbmm addmm"
_SCALING = frozenset(f"aten::{name}" for name in _NAMES.split())
_FARTHEST = 4

Makers = Mapping[int, OpCall]


def scaled_fields(
    full: OpTrace, small: OpTrace, flow: Flow
) -> Iterator[tuple[OpCall, list[tuple[Tensor, int]]]]:
    """Yield calls whose factors differ, with the fields and dims that they may count.

    Args:
        full: A run of the original.
        small: A run of a smaller model, with fewer channels along some dims.
        flow: The fields of the original.
    """
    theirs = _scaling_calls(small)
    makers = _makers(full), _makers(small)
    for module, calls in _scaling_calls(full).items():
        others = theirs.get(module, [])
        if [call.name for call in calls] != [call.name for call in others]:
            continue
        for one, other in zip(calls, others, strict=True):
            if _numbers(one) != _numbers(other):
                fields = list(_resized(one, other, flow, makers, _FARTHEST))
                if fields:
                    yield one, fields


def _scaling_calls(recorded: OpTrace) -> dict[str, list[OpCall]]:
    """Return the calls with numbers by the module that makes them.

    Calls that only move elements may differ between the runs.
    """
    found: dict[str, list[OpCall]] = {}
    for call in recorded.calls:
        if call.name in _SCALING and _numbers(call):
            found.setdefault(call.module, []).append(call)
    return found


def _makers(recorded: OpTrace) -> Makers:
    """Return for each tensor the call that made it, apart from those that move it."""
    makers: dict[int, OpCall] = {}
    for call in recorded.calls:
        for tensor in tensors_in(call.result):
            makers[id(tensor)] = call
    return makers


def _numbers(call: OpCall) -> Sequence[Any]:
    values = [*call.args, *call.kwargs.values()]
    return [v for v in values if isinstance(v, (int, float)) and v is not True]


def _resized(
    one: OpCall,
    other: OpCall,
    flow: Flow,
    makers: tuple[Makers, Makers],
    steps: int,
) -> Iterator[tuple[Tensor, int]]:
    """Yield what became smaller of what a call takes, or of what that was made from."""
    tensors = list(zip(tensors_in(one.args), tensors_in(other.args), strict=False))
    found = [
        (field, dim)
        for tensor, small in tensors
        for field in flow.of(tensor)
        for dim in varying(field)
        if tensor.dim() == small.dim() and tensor.shape[dim] != small.shape[dim]
    ]
    yield from found
    if found or not steps:
        return
    for tensor, small in tensors:
        pair = [m.get(id(t)) for m, t in zip(makers, (tensor, small), strict=True)]
        if pair[0] and pair[1]:
            yield from _resized(pair[0], pair[1], flow, makers, steps - 1)
