# The independent answer: the original model, with the dropped channels silenced. Zeros
# in the weights that make and read them are enough for most networks; where an
# operation mixes channels, it is run on those that are kept.
"""Run a model as if some of its channels were not there."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..extension_ops import extension_calls
from ..forward import call_model
from .channel_graph import ChannelGraph
from .fields import narrowed, varying
from .flow import Flow
from .mixing import blank, dropped_lines, infinite_at_zero, mixed_dims, run_without
from .rules import apply_rule
from .rules.table import PRODUCTS
from .trace import OpCall, op_name, running_plain

_Lines = Mapping[tuple[str, int], np.ndarray]


def silenced_output(
    graph: ChannelGraph, kept: Mapping[str, Sequence[int]], inputs: Any
) -> Any:
    """Return what the original model gives without the dropped channels.

    Args:
        graph: The model's channel graph.
        kept: Kept channels by group.
        inputs: What the model is called with.
    """
    model, lines = graph.model, graph.dropped_lines(kept)
    with ExitStack() as stack:
        stack.enter_context(running_plain(model))
        stack.enter_context(_zeroed(model, lines))
        if graph.mixes:
            mode = _Silencing(model, lines)
            stack.enter_context(extension_calls(mode.record))
            stack.enter_context(mode)
        return call_model(model, inputs)


@contextmanager
def _zeroed(model: nn.Module, lines: _Lines) -> Iterator[None]:
    """Put zeros where dropped channels are, and the old values back afterwards."""
    parameters = dict(model.named_parameters())
    old: dict[str, Tensor] = {}
    try:
        for (name, axis), line in lines.items():
            parameter = parameters.get(name)
            if parameter is None:
                continue
            if name not in old:
                old[name] = parameter.data
                parameter.data = parameter.data.clone()
            index = torch.from_numpy(np.flatnonzero(line)).to(parameter.device)
            parameter.data.index_fill_(axis, index, 0)
        yield
    finally:
        for name, data in old.items():
            parameters[name].data = data


class _DropFlow(Flow):
    """Fields of booleans: true where the channel is dropped."""

    def __init__(self, model: nn.Module, lines: _Lines) -> None:
        super().__init__(model)
        self._lines = lines
        self._references: dict[int, weakref.ref[Tensor]] = {}

    def hold(self, tensor: Tensor) -> None:
        """Let go of a tensor's fields with the tensor: features need much memory."""
        key = id(tensor)

        def forget(_: Any) -> None:
            self._fields.pop(key, None)
            self._references.pop(key, None)

        self._references[key] = weakref.ref(tensor, forget)

    def parameter_line(self, name: str, dim: int, size: int) -> Tensor:
        line = self._lines.get((name, dim))
        return self.fresh(size) if line is None else torch.from_numpy(line)

    def fresh(self, size: int) -> Tensor:
        return torch.zeros(1, dtype=torch.bool).expand(size)  # stride 0: not varying

    def tie(self, a: Tensor, b: Tensor) -> Tensor:
        return a

    def grid(self, field: Tensor, prefer: int | None = None) -> None:
        pass

    def project(self, field: Tensor, dims: Sequence[int]) -> Tensor:
        small = narrowed(field)
        for dim in range(field.dim()):
            if dim not in dims:
                small = small.all(dim, keepdim=True)
        return small.expand(field.shape)

    def joined(self, fields: Sequence[Tensor]) -> Tensor:
        dims = {dim for field in fields for dim in varying(field)}
        joint = torch.zeros(1, dtype=torch.bool)
        for field in fields:
            joint = joint | narrowed(field, dims)
        return joint.expand(fields[0].shape)

    def couple(self, field: Tensor, dims: Sequence[int], part: Tensor) -> None:
        pass

    def forbid(self, field: Tensor, dim: int, reason: str) -> bool:
        return False

    def size_argument(self, value: int, field: Tensor, dim: int) -> None:
        pass


class _Silencing(TorchDispatchMode):
    """Follows the dropped channels, and leaves them out where they would mix in."""

    def __init__(self, model: nn.Module, lines: _Lines) -> None:
        super().__init__()
        self.flow = _DropFlow(model, lines)
        self._zeroed = {
            parameter.untyped_storage().data_ptr()
            for name, parameter in model.named_parameters()
            if any((name, axis) in lines for axis in range(parameter.dim()))
        }

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # what would be wrapped around each call takes long

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = op_name(func)
        result = self._result(func, name, args, kwargs)
        self.record(name, args, kwargs, result)
        if infinite_at_zero(name, args) is not None:
            blank(self.flow, result)
        return result

    def _result(self, func: Any, name: str, args: tuple, kwargs: dict) -> Any:
        mixed = mixed_dims(name, args, kwargs)
        lines = {} if mixed is None else dropped_lines(self.flow, *mixed)
        if not lines:
            return func(*args, **kwargs)
        if self._meets_zeros(name, args, lines):
            result = func(*args, **kwargs)
            if bool(result.sum().isfinite()):  # no silenced infinity met a zero
                return result
        return run_without(func, args, kwargs, lines)

    def _meets_zeros(self, name: str, args: tuple, lines: dict[int, Tensor]) -> bool:
        """Tell whether all that a product would leave out is multiplied by zeros."""
        if name not in PRODUCTS:
            return False
        factor = args[PRODUCTS[name] + 1]
        if factor.untyped_storage().data_ptr() not in self._zeroed:
            return False
        dim = factor.dim() - 2
        rows = dropped_lines(self.flow, factor, [dim])
        (line,) = lines.values()
        return dim in rows and torch.equal(rows[dim], line)

    def record(self, name: str, args: tuple, kwargs: dict, result: Any) -> None:
        """Follow the channels through one operation."""
        apply_rule(self.flow, OpCall(name, args, kwargs, result, ""))
