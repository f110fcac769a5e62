# Symbolic tracers (torch.fx, torch.export, walking autograd's graph) fail on models
# with data-dependent Python. One eager run under a TorchDispatchMode does not: it sees
# the ATen operations that really ran, as torch.utils.flop_counter does for counting
# them.
"""Record every ATen operation of one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from ..forward import (
    as_in_training,
    call_model,
    evaluating,
    without_fused_layers,
)
from .extension_ops import extension_calls


class OpCall:
    """One operation that ran.

    Args:
        name: Operator without overload and in-place underscore, such as ``aten::add``.
        args: Positional arguments as they were passed.
        kwargs: Keyword arguments as they were passed.
        result: What the operation returned.
        module: Name of the module whose forward called it.
    """

    __slots__ = ("args", "kwargs", "module", "name", "result")

    def __init__(
        self, name: str, args: tuple, kwargs: dict, result: Any, module: str
    ) -> None:
        self.name = name
        self.args = args
        self.kwargs = kwargs
        self.result = result
        self.module = module

    def __repr__(self) -> str:
        return f"OpCall({self.name} in '{self.module}')"


@dataclass(frozen=True)
class OpTrace:
    """All operations of one forward pass, in order, and what it returned.

    The tensors are kept, so that an object's identity tells which tensor it is.
    """

    calls: list[OpCall] = field(default_factory=list)
    output: Any = None


def trace(model: nn.Module, inputs: Any, *, training: bool = False) -> OpTrace:
    """Run a model once in eval mode and record the operations.

    Args:
        model: Any module; it is left as it was.
        inputs: A tensor, a tuple of arguments or a dict of keyword arguments.
        training: Run it in train mode, with norms and dropout as in eval mode.

    Raises:
        TraceError: If the model does not run on the inputs.

    Example:
        >>> import torch
        >>> [call.name for call in trace(nn.ReLU(), torch.zeros(2)).calls]
        ['aten::relu']
    """
    mode = _Recording()
    with ExitStack() as stack:
        stack.enter_context(running_plain(model))
        if training:
            stack.enter_context(as_in_training(model))
        stack.enter_context(followed(model, mode.stack))
        stack.enter_context(extension_calls(mode.record))
        stack.enter_context(mode)
        try:
            output = call_model(model, inputs)
        except Exception as err:
            where = f" in module '{mode.stack[-1]}'" if mode.stack[1:] else ""
            raise TraceError(
                f"{type(model).__name__} does not run on the example inputs"
                f"{where}: {type(err).__name__}: {err}. Give inputs of a size and kind "
                "that the model takes: mmrazor.example_inputs(model, image_size=...)."
            ) from err
    return OpTrace(mode.calls, output)


class TraceError(ValueError):
    """A model that cannot be run on the inputs given."""


@contextmanager
def running_plain(model: nn.Module) -> Iterator[None]:
    """Run in eval mode, without gradients, fused layers and fused attention."""
    with evaluating(model), without_fused_layers(), sdpa_kernel(SDPBackend.MATH):
        yield


@contextmanager
def followed(model: nn.Module, stack: list[str]) -> Iterator[None]:
    """Keep the names of the modules that run on a stack, innermost last."""
    handles = []
    depths: list[int] = []

    def hook(name: str, module: nn.Module) -> None:
        def enter(*_: Any) -> None:
            depths.append(len(stack))
            stack.append(name)

        def leave(*_: Any) -> None:
            del stack[depths.pop() :]

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave))

    for name, module in model.named_modules():
        hook(name, module)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def op_name(func: Any) -> str:
    """Return the operator's name without overload and in-place underscore.

    Example:
        >>> import torch
        >>> op_name(torch.ops.aten.add_.Tensor)
        'aten::add'
    """
    name = _NAMES.get(func)
    if name is None:
        name = func._schema.name
        if name.endswith("_") and not name.endswith("__"):
            name = name[:-1]
        _NAMES[func] = name
    return name


_NAMES: dict[Any, str] = {}


class _Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[OpCall] = []
        self.stack: list[str] = [""]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.calls.append(OpCall(op_name(func), args, kwargs, result, self.stack[-1]))
        return result

    def record(self, name: str, args: tuple, kwargs: dict, result: Any) -> None:
        """Take in a call that does not pass through torch's dispatcher."""
        self.calls.append(OpCall(name, args, kwargs, result, self.stack[-1]))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested sequences, mappings, dataclasses and data elements.

    Example:
        >>> import torch
        >>> len(list(tensors_in([torch.zeros(1), (3, {'a': torch.ones(1)})])))
        2
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, BaseDataElement):
        for _, item in sorted(value.all_items()):
            yield from tensors_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            yield from tensors_in(getattr(value, part.name))
