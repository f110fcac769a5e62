# Counts what one eager forward really ran, as fvcore and torch.utils.flop_counter do;
# the formulas are torch's own, halved: one multiply-accumulate is two of its FLOPs.
"""Count multiply-accumulates and parameters of one forward pass."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ..forward import call_model, evaluating, examples_of, without_fused_layers
from .free_ops import is_free

if TYPE_CHECKING:  # not for counting alone
    from ..graph.trace import OpTrace

# Of what their compiled operators do, no more than matrix products reaches torch's
# dispatcher, and not always.
_OPAQUE_MODULES = "mmcv.ops."


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
        macs: Multiply-accumulates of convolutions, linear layers and matrix products,
            for the whole batch.
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

    Counted are convolutions, linear layers and matrix products (attention included), as
    ``torch.utils.flop_counter`` does, its FLOPs halved; additions, norms, pooling and
    the like are free.

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
    inputs = examples_of(inputs)[0]
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


def _run_counted(model: nn.Module, inputs: Any, counter: _CountingMode) -> None:
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        # Attention as matrix products has formulas on every device.
        stack.enter_context(without_fused_layers())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        for name, module in model.named_modules():
            for handle in counter.follow(name, module):
                stack.callback(handle.remove)
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

    def follow(self, name: str, module: nn.Module) -> Iterator[Any]:
        """Hook a module, so that the stack tells which one runs."""

        def enter(*_: Any) -> None:
            self._stack.append(name)

        def leave(*_: Any) -> None:
            self._stack.pop()
            if _is_opaque(module) and not self.macs[name]:
                self.uncounted[f"mmcv.ops.{type(module).__name__}"] += 1

        yield module.register_forward_pre_hook(enter)
        yield module.register_forward_hook(leave, always_call=True)

    def read(self, model: nn.Module, recorded: OpTrace) -> bool:
        """Count the calls of a trace; return whether it tells all that a run would."""
        if any(_is_opaque(module) for module in model.modules()):
            return False
        for call in recorded.calls:
            func = call.func
            if func is None or (_is_unknown(func) and func._can_decompose()):
                return False
            self._add(func, call.args, call.kwargs, call.result, call.module)
        return True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if _is_unknown(func):
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
        formula = _formula(func._overloadpacket)
        if formula is not None:
            self.macs[module] += _flops(formula, args, kwargs, result) // 2
        elif not is_free(func) and _computes(result):
            self.uncounted[str(func._overloadpacket)] += 1


def _flops(formula: Callable[..., int], args: tuple, kwargs: dict, result: Any) -> int:
    plain = getattr(formula, "__wrapped__", None)  # from shapes, without torch's pytree
    if plain is None:
        return formula(*args, **kwargs, out_val=result)
    named = {key: _shapes(value) for key, value in kwargs.items()}
    return plain(*map(_shapes, args), **named, out_shape=_shapes(result))


def _shapes(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.shape
    if isinstance(value, (list, tuple)):
        return type(value)([_shapes(item) for item in value])
    return value


def _is_opaque(module: nn.Module) -> bool:
    kind = f"{type(module).__module__}.{type(module).__name__}"
    return kind.startswith(_OPAQUE_MODULES)


@cache
def _formula(packet: Any) -> Callable[..., int] | None:
    """Return torch's formula for an operator, also if it works in place."""
    name = packet.__name__
    if packet not in flop_registry and name.endswith("_"):
        packet = getattr(torch.ops.aten, name[:-1], None)
    return flop_registry.get(packet)


def _is_unknown(func: Any) -> bool:
    return _formula(func._overloadpacket) is None and not is_free(func)


def _computes(result: Any) -> bool:
    return any(
        isinstance(leaf, torch.Tensor)
        and (leaf.is_floating_point() or leaf.is_complex())
        for leaf in tree_leaves(result)
    )
