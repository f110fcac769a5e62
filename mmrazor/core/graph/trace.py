# Symbolic tracers (torch.fx, torch.export, walking autograd's graph) fail on models
# with data-dependent Python. One eager run under a TorchDispatchMode does not: it sees
# the ATen operations that really ran, as torch.utils.flop_counter does.
"""Record every ATen operation of one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from ..extension_ops import extension_calls
from ..forward import (
    as_in_training,
    call_model,
    evaluating,
    map_tensors,
    without_fused_layers,
)
from ..op_macs import is_composed, op_name
from .stand_ins import StandIns

# In place, these change the shape of the tensor that earlier calls returned.
_RESHAPING = frozenset(
    f"aten::{name}"
    for name in ("t", "transpose", "squeeze", "unsqueeze", "as_strided", "resize")
)
_PLAIN = frozenset({int, float, bool, type(None)})


class OpCall:
    """One operation that ran.

    Large floating-point results, and arguments that were such results, are on the
    ``meta`` device: the same object everywhere for the same tensor, without elements.

    Args:
        name: Operator without overload and in-place underscore, such as ``aten::add``.
        args: Positional arguments as they were passed.
        kwargs: Keyword arguments as they were passed.
        result: What the operation returned.
        module: Name of the module whose forward called it.
        func: The operator, None for one that is not torch's.
    """

    __slots__ = ("args", "func", "kwargs", "module", "name", "result")

    def __init__(
        self,
        name: str,
        args: tuple,
        kwargs: dict,
        result: Any,
        module: str,
        func: Any = None,
    ) -> None:
        self.func = func
        self.name = name
        self.args = args
        self.kwargs = kwargs
        self.result = result
        self.module = module

    def __repr__(self) -> str:
        return f"OpCall({self.name} in '{self.module}')"


@dataclass(frozen=True)
class ModuleCall:
    """One call of a module by another.

    Args:
        module: Name of the one called.
        caller: Name of the one that called it.
        taken: What it was called with, as it stands in the operations.
        returned: What it returned.
    """

    module: str
    caller: str
    taken: list[Tensor]
    returned: list[Tensor]


@dataclass(frozen=True)
class OpTrace:
    """All operations of one forward pass, in order, and what it returned.

    The tensors of the calls are kept, so that an object's identity tells which it is.

    Args:
        calls: The operations.
        output: What the model returned.
        stand_ins: What stands in the calls for tensors in ``output``, by their ``id``.
        inputs: What the model was called with.
        modules: The calls of modules, in the order in which they ended.
    """

    calls: list[OpCall] = field(default_factory=list)
    output: Any = None
    stand_ins: Mapping[int, Tensor] = field(default_factory=dict, repr=False)
    inputs: Any = None
    modules: list[ModuleCall] = field(default_factory=list, repr=False)

    def outputs(self) -> Iterator[Tensor]:
        """Yield the tensors in the output, as they stand in the calls."""
        for tensor in tensors_in(self.output):
            yield self.stand_ins.get(id(tensor), tensor)


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
    stack = [""]
    with ExitStack() as contexts:
        contexts.enter_context(running_plain(model))
        if training:
            contexts.enter_context(as_in_training(model))
        try:
            return recorded_run(model, inputs, stack)
        except Exception as err:
            where = f" in module '{stack[-1]}'" if stack[1:] else ""
            raise TraceError(
                f"{type(model).__name__} does not run on the example inputs"
                f"{where}: {type(err).__name__}: {err}. Give inputs of a size and kind "
                "that the model takes: mmrazor.example_inputs(model, image_size=...)."
            ) from err


class TraceError(ValueError):
    """A model that cannot be run on the inputs given."""


def recorded_run(
    model: nn.Module, inputs: Any, stack: list[str] | None = None
) -> OpTrace:
    """Run a model as it is and record the operations.

    Args:
        model: Any module.
        inputs: As for :func:`trace`.
        stack: Filled with the names of the modules that run, innermost last.
    """
    stack = [""] if stack is None else stack
    mode = _Recording(stack)
    with followed(model, stack, mode.record_module), extension_calls(mode.record), mode:
        output = call_model(model, inputs)
    stand_ins = mode.stand_ins.of_tensors(tensors_in(output))
    return OpTrace(mode.calls, output, stand_ins, inputs, mode.modules)


@contextmanager
def running_plain(model: nn.Module) -> Iterator[None]:
    """Run in eval mode, without gradients, fused layers and fused attention."""
    with evaluating(model), without_fused_layers(), sdpa_kernel(SDPBackend.MATH):
        yield


@contextmanager
def followed(
    model: nn.Module,
    stack: list[str],
    hear: Callable[[str, str, Any, Any], None] | None = None,
) -> Iterator[None]:
    """Keep the names of the modules that run on a stack, innermost last.

    When a module raises, its name stays on the stack.

    Args:
        model: The model.
        stack: Filled.
        hear: Called after every call with the name of a module, that of the one that
            called it, what it was called with and what it returned.
    """
    names = {id(module): name for name, module in model.named_modules()}
    original = nn.Module.__call__

    # Hooks would do, but they cost small layers half of their time.
    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        name = names.get(id(self))
        if name is None:
            return original(self, *args, **kwargs)
        depth = len(stack)
        stack.append(name)
        result = original(self, *args, **kwargs)
        del stack[depth:]
        if hear is not None:
            hear(name, stack[-1], (args, kwargs), result)
        return result

    nn.Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]


class _Recording(TorchDispatchMode):
    def __init__(self, stack: list[str]) -> None:
        super().__init__()
        self.calls: list[OpCall] = []
        self.stand_ins = StandIns()
        self.modules: list[ModuleCall] = []
        self._stack = stack

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # what would be wrapped around each call takes longer than it

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_composed(func):  # under inference_mode it is not taken apart before
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        given = args
        if op_name(func) in _RESHAPING and func._schema.is_mutable:
            given = (self._kept_as_it_is(args[0]), *args[1:])
        result = func(*args, **kwargs)
        self.record(op_name(func), given, kwargs, result, func)
        return result

    def _kept_as_it_is(self, tensor: Tensor) -> Tensor:
        """Return what keeps the shape of a tensor that is given another one in place.

        It takes the tensor's place in the calls so far.
        """
        if self.stand_ins.of(tensor) is not tensor or isinstance(tensor, nn.Parameter):
            return tensor
        old = tensor.detach()

        def kept(value: Any) -> Any:
            return old if value is tensor else value

        for call in self.calls:
            call.args = map_tensors(call.args, kept)
            call.kwargs = map_tensors(call.kwargs, kept)
            call.result = map_tensors(call.result, kept)
        return old

    def record(
        self, name: str, args: tuple, kwargs: dict, result: Any, func: Any = None
    ) -> None:
        """Take in a call, also one that does not pass through torch's dispatcher."""
        of = self.stand_ins.of
        inside = tuple([arg if type(arg) in _PLAIN else of(arg) for arg in args])
        named = {key: of(arg) for key, arg in kwargs.items()} if kwargs else kwargs
        made = self.stand_ins.of_result(result, args, kwargs)
        self.calls.append(OpCall(name, inside, named, made, self._stack[-1], func))

    def record_module(self, name: str, caller: str, given: Any, result: Any) -> None:
        """Take in what a module was called with and what it returned."""
        taken = [self.stand_ins.of(tensor) for tensor in tensors_in(given)]
        returned = [self.stand_ins.of(tensor) for tensor in tensors_in(result)]
        self.modules.append(ModuleCall(name, caller, taken, returned))


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
