# Counts what one eager forward really ran, as fvcore and torch.utils.flop_counter do.
# The formulas are those of core.op_macs, which the arithmetic of cuts reads as well.
"""Count multiply-accumulates and parameters of one forward pass."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..extension_ops import wrapped_extensions
from ..forward import (
    call_model,
    eager_module,
    evaluating,
    examples_of,
    without_fused_layers,
)
from ..op_macs import counted_names, is_composed, mac_terms, op_name
from .free_ops import is_free

if TYPE_CHECKING:  # not for counting alone
    from ..graph.trace import OpTrace

# Of what their compiled operators do, no more than matrix products reaches torch's
# dispatcher, and not always.
_OPAQUE_MODULES = "mmcv.ops."
# Functions of mmcv that compare boxes, and multiply nothing that the counts are about.
_BOXES = frozenset(
    [
        "nms",
        "softnms",
        "nms_match",
        "nms_rotated",
        "nms_quadri",
        "bbox_overlaps",
        "box_iou_rotated",
        "box_iou_quadri",
    ]
)


@dataclass(frozen=True)
class ModuleCost:
    """Cost of one module with everything inside it.

    Args:
        macs: Multiply-accumulates in one forward pass of the whole batch.
        params: Parameters, each counted once.
    """

    macs: int
    params: int


@dataclass(frozen=True)
class Cost:
    """Cost of one forward pass, counted on the shapes that were really run.

    Args:
        macs: Multiply-accumulates of convolutions, linear and recurrent layers and
            matrix products, for the whole batch.
        params: Parameters of the model, shared ones counted once.
        uncounted: How often each operation ran that may multiply and accumulate but
            has no formula; empty if ``macs`` is complete.
    """

    macs: int
    params: int
    uncounted: dict[str, int] = field(default_factory=dict)
    _modules: dict[str, ModuleCost] = field(default_factory=dict, repr=False)

    def by_module(self) -> dict[str, ModuleCost]:
        """Return the cost of every module by its name; ``''`` is the whole model."""
        return dict(self._modules)


def count_cost(model: nn.Module, inputs: Any, recorded: OpTrace | None = None) -> Cost:
    """Count the cost of one forward pass in eval mode.

    Counted are convolutions, linear layers, recurrent layers (every step of every
    sequence) and matrix products (attention included), as ``torch.utils.flop_counter``
    counts them, its FLOPs halved; what multiplies element by element, additions, norms,
    pooling and the like are free.

    Args:
        model: Any module; it is left as it was.
        inputs: A tensor, a tuple of arguments or a dict of keyword arguments; of a list
            of such inputs, the first is counted, as pruning does.
        recorded: A trace of the model on the inputs. What it tells is not run again.

    Example:
        >>> cost = count_cost(nn.Sequential(nn.Linear(4, 3)), torch.zeros(2, 4))
        >>> cost.macs, cost.params, cost.by_module()["0"].macs
        (24, 15, 24)
    """
    model, inputs = eager_module(model), examples_of(inputs)[0]
    counter = _CountingMode()
    if recorded is None or not counter.read(model, recorded):
        counter = _CountingMode()
        _run_counted(model, inputs, counter)
    macs = _with_parents(counter.macs)
    modules = {
        name: ModuleCost(macs[name], params)
        for name, params in _params_by_module(model).items()
    }
    return Cost(modules[""].macs, modules[""].params, dict(counter.uncounted), modules)


def counted(function: Callable[[], Any]) -> tuple[Any, int, tuple[str, ...]]:
    """Call a function and count what it multiplies.

    Args:
        function: Runs with the modes of the caller.

    Returns:
        What it returns, its multiply-accumulates, and the names of the operations that
        may multiply too but have no formula.

    Example:
        >>> x = torch.zeros(2, 4)
        >>> counted(lambda: torch.einsum("ij,kj->ik", x, x))[1:]
        (16, ())
    """
    counter = _CountingMode()
    with counter:
        result = function()
    return result, counter.macs.total(), tuple(counter.uncounted)


def counted_extension(
    name: str, args: tuple, kwargs: dict, result: Any
) -> tuple[int, tuple[str, ...]]:
    """Count what a call of one of mmcv's compiled functions multiplies.

    Args:
        name: ``mmcv::<function>``.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.

    Returns:
        Its multiply-accumulates, and its name if it may multiply but has no formula.
    """
    terms = mac_terms(name, args, kwargs, result)
    if terms is not None:
        return sum(term.macs() for term in terms), ()
    plain = name.removeprefix("mmcv::")
    return 0, () if plain in _BOXES else (f"mmcv.{plain}",)


def _run_counted(model: nn.Module, inputs: Any, counter: _CountingMode) -> None:
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        # Attention as matrix products has formulas on every device.
        stack.enter_context(without_fused_layers())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        for name, module in model.named_modules():
            for handle in counter.follow(name, module):
                stack.callback(handle.remove)
        stack.enter_context(wrapped_extensions(counter.heard))
        with counter:
            call_model(model, inputs)


def _params_by_module(model: nn.Module) -> dict[str, int]:
    """Return the elements of the parameters in each module, shared ones once."""
    inside: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        key, size = id(parameter), parameter.numel()
        while name:
            name = name.rpartition(".")[0]
            inside[name][key] = size
    return {
        name: sum(inside[name].values()) if name in inside else 0
        for name, _ in model.named_modules()
    }


def _with_parents(macs: Counter[str]) -> Counter[str]:
    """Add the counts of each module to all modules that its name says it is in.

    The call stack would miss hosts that call ``head.forward(x)`` past the hooks.
    """
    total: Counter[str] = Counter()
    for name, count in macs.items():
        parts = name.split(".") if name else []
        for depth in range(len(parts) + 1):
            total[".".join(parts[:depth])] += count
    return total


class _CountingMode(TorchDispatchMode):
    """Adds up the multiply-accumulates that each module runs itself."""

    def __init__(self) -> None:
        super().__init__()
        self.macs: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()
        self._stack: list[str] = []
        self._in_opaque = 0

    def follow(self, name: str, module: nn.Module) -> Iterator[Any]:
        """Hook a module, so that the stack tells which one runs."""
        opaque = _is_opaque(module)

        def enter(*_: Any) -> None:
            self._stack.append(name)
            self._in_opaque += opaque

        def leave(*_: Any) -> None:
            self._stack.pop()
            self._in_opaque -= opaque
            if opaque and not self.macs[name]:
                self.uncounted[f"mmcv.ops.{type(module).__name__}"] += 1

        yield module.register_forward_pre_hook(enter)
        yield module.register_forward_hook(leave, always_call=True)

    def heard(self, name: str, function: Callable) -> Callable:
        """Return one of mmcv's compiled functions so that its calls are counted."""

        def call(*args: Any, **kwargs: Any) -> Any:
            before = self.macs.copy(), self.uncounted.copy()
            result = function(*args, **kwargs)
            module = self._stack[-1] if self._stack else ""
            terms = mac_terms(f"mmcv::{name}", args, kwargs, result)
            if terms is not None:  # in place of the products that it was seen to run
                self.macs, self.uncounted = before
                self.macs[module] += sum(term.macs() for term in terms)
            elif not self._in_opaque and self.macs == before[0] and name not in _BOXES:
                self.uncounted[f"mmcv.{name}"] += 1
            return result

        return call

    def read(self, model: nn.Module, recorded: OpTrace) -> bool:
        """Count the calls of a trace; return whether it tells all that a run would."""
        if any(_is_opaque(module) for module in model.modules()):
            return False
        for call in recorded.calls:
            func = call.func
            if func is None or (_is_unknown(func) and is_composed(func)):
                return False
            self._add(func, call.args, call.kwargs, call.result, call.module)
        return True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_composed(func):
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        module = self._stack[-1] if self._stack else ""
        self._add(func, args, kwargs, result, module)
        return result

    def _add(
        self, func: Any, args: tuple, kwargs: dict, result: Any, module: str
    ) -> None:
        terms = mac_terms(op_name(func), args, kwargs, result)
        if terms is not None:
            self.macs[module] += sum(term.macs() for term in terms)
        elif not is_free(func) and _computes(func, args, kwargs, result):
            self.uncounted[str(func._overloadpacket)] += 1


def _is_opaque(module: nn.Module) -> bool:
    kind = f"{type(module).__module__}.{type(module).__name__}"
    return kind.startswith(_OPAQUE_MODULES)


def _is_unknown(func: Any) -> bool:
    return op_name(func) not in counted_names() and not is_free(func)


def _computes(func: Any, args: tuple, kwargs: dict, result: Any) -> bool:
    """Tell whether there are numbers in what an operation made, or wrote into."""
    own = func.namespace in ("aten", "prim", "prims")
    leaves = tree_leaves(result if own else [args, kwargs, result])
    return any(isinstance(leaf, torch.Tensor) and _is_real(leaf) for leaf in leaves)


def _is_real(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized
