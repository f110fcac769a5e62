"""The table of rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..flow import Flow
from ..trace import OpCall, tensors_in

Rule = Callable[[Flow, OpCall], None]
_RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operators: ``@rule('aten::add', 'aten::mul')``."""

    def register(function: Rule) -> Rule:
        for name in names:
            if name in _RULES:
                raise ValueError(f"Two rules for operator '{name}'.")
            _RULES[name] = function
        return function

    return register


def rule_names() -> list[str]:
    """Return the operators that have a rule of their own."""
    return sorted(_RULES)


def apply_rule(flow: Flow, call: OpCall) -> None:
    """Let channels flow through one operation.

    An operator without a rule freezes what goes in; what comes out has no channels.
    """
    found = _RULES.get(call.name)
    if found is not None:
        flow.call = call
        found(flow, call)
        return
    for tensor in tensors_in([call.args, call.kwargs]):
        fields = flow.of(tensor)
        if fields:
            flow.call = call
            flow.freeze(fields, "goes into an operation without a rule")


def argument(call: OpCall, index: int, name: str, default: Any = None) -> Any:
    """Return an argument that may have been passed by position or by name."""
    if index < len(call.args):
        return call.args[index]
    return call.kwargs.get(name, default)


def first_result(call: OpCall) -> Tensor:
    """Return the one tensor, or the first of several, that an operation returned."""
    return call.result if isinstance(call.result, Tensor) else call.result[0]


def dims_of(value: Any, ndim: int) -> list[int]:
    """Return dims as a list of non-negative numbers; all of them for None or [].

    Example:
        >>> dims_of(-1, 3), dims_of(None, 2)
        ([2], [0, 1])
    """
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return list(range(ndim))
    values = value if isinstance(value, (list, tuple)) else [value]
    return [dim % ndim if ndim else 0 for dim in values]


# Matrix products, and where their first factor stands among the arguments.
PRODUCTS = {"aten::mm": 0, "aten::bmm": 0, "aten::addmm": 1, "aten::baddbmm": 1}

_REDUCTIONS = (
    "sum mean amax amin max min argmax argmin var std var_mean std_mean norm "
    "linalg_vector_norm logsumexp prod any all median nanmean nansum count_nonzero "
    "aminmax nanmedian mode"
)
REDUCTIONS = frozenset(f"aten::{name}" for name in _REDUCTIONS.split())


def reduced_dims(name: str, args: tuple, kwargs: dict, ndim: int) -> list[int]:
    """Return the dims that one of :data:`REDUCTIONS` reduces away.

    Example:
        >>> reduced_dims('aten::norm', (None, 2, [1]), {}, 3)
        [1]
    """
    place = 2 if name in ("aten::norm", "aten::linalg_vector_norm") else 1
    default = -1 if name == "aten::mode" else None
    given = args[place] if len(args) > place else kwargs.get("dim", default)
    return dims_of(None if isinstance(given, (float, bool)) else given, ndim)
