# Counts what one eager forward really ran, as fvcore and torch.utils.flop_counter do;
# the formulas are torch's own, halved: one multiply-accumulate is two of its FLOPs.
"""Count multiply-accumulates and parameters of one forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ..forward import call_model, evaluating, without_fused_layers
from .free_ops import is_free

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


def count_cost(model: nn.Module, inputs: Any) -> Cost:
    """Count the cost of one forward pass in eval mode.

    Counted are convolutions, linear layers and matrix products (attention included), as
    ``torch.utils.flop_counter`` does, its FLOPs halved; additions, norms, pooling and
    the like are free.

    Args:
        model: Any module; it is left as it was.
        inputs: A tensor, a tuple of arguments or a dict of keyword arguments.

    Example:
        >>> cost = count_cost(nn.Sequential(nn.Linear(4, 3)), torch.zeros(2, 4))
        >>> cost.macs, cost.params, cost.by_module()["0"].macs
        (24, 15, 24)
    """
    counter = _CountingMode()
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
    macs = _with_parents(counter.macs)
    modules = {
        name: ModuleCost(macs[name], sum(p.numel() for p in module.parameters()))
        for name, module in model.named_modules()
    }
    return Cost(modules[""].macs, modules[""].params, dict(counter.uncounted), modules)


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
            kind = f"{type(module).__module__}.{type(module).__name__}"
            if kind.startswith(_OPAQUE_MODULES) and not self.macs[name]:
                self.uncounted[f"mmcv.ops.{type(module).__name__}"] += 1

        yield module.register_forward_pre_hook(enter)
        yield module.register_forward_hook(leave, always_call=True)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        formula = _formula(packet)
        if formula is None and not is_free(func):
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if formula is not None:
            name = self._stack[-1] if self._stack else ""
            self.macs[name] += formula(*args, **kwargs, out_val=result) // 2
        elif not is_free(func) and _computes(result):
            self.uncounted[str(packet)] += 1
        return result


@cache
def _formula(packet: Any) -> Callable[..., int] | None:
    """Return torch's formula for an operator, also if it works in place."""
    name = packet.__name__
    if packet not in flop_registry and name.endswith("_"):
        packet = getattr(torch.ops.aten, name[:-1], None)
    return flop_registry.get(packet)


def _computes(result: Any) -> bool:
    return any(
        isinstance(leaf, torch.Tensor)
        and (leaf.is_floating_point() or leaf.is_complex())
        for leaf in tree_leaves(result)
    )
