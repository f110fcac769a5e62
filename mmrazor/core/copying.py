# copy.deepcopy asks every object how it is to be copied; a network has thousands that
# are plain numbers, words and empty tables of hooks. Answering for those here makes the
# copy of a small network several times faster. Tensors that were computed with graphs
# (features that a forward keeps, the weight of torch's old weight norm) are refused by
# torch's way of copying, wherever they are kept: a TorchFunctionMode sees every one.
"""Copy modules as ``copy.deepcopy`` does, in less time, with all that they hold."""

from __future__ import annotations

import copy
from collections import OrderedDict
from functools import cache
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_Module = TypeVar("_Module", bound=nn.Module)
_ATOMS = frozenset([int, float, bool, str, type(None), type])
_CONTAINERS = frozenset([OrderedDict, set, list])
# How an object tells that it is to be copied in its own way.
_OWN_WAYS = ("__reduce_ex__", "__reduce__", "__getstate__", "__deepcopy__")
_HAVE_STATE = hasattr(nn.Module, "__getstate__")


def copied(module: _Module, memo: dict[int, Any] | None = None) -> _Module:
    """Return a deep copy of a module.

    A tensor that was computed with gradients is copied without its graph: what uses it
    computes it anew.

    Args:
        module: The module.
        memo: Copies that are there already, by the ``id`` of what they are copies of;
            is filled.

    Example:
        >>> layers = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> layers.append(layers[0])[0] is layers[2]
        True
        >>> twin = copied(layers)
        >>> twin[0] is twin[2], twin[0] is layers[0]
        (True, False)
    """
    memo = {} if memo is None else memo
    # As deepcopy does: while the memo lives, nothing else may get these ids.
    memo.setdefault(id(memo), []).append(module)
    with _WithoutGraph():
        return _copied(module, memo)


class _WithoutGraph(TorchFunctionMode):
    """Copy tensors that have a graph without it."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, memo = args  # without its graph, a view stays a view of the same
            return copy.deepcopy(tensor.detach(), memo)
        return func(*args, **(kwargs or {}))


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    kind: Any = type(value)
    if kind in _ATOMS:
        return value
    known = memo.get(id(value))
    if known is not None:
        return known
    if kind is dict:
        new: Any = {}
        memo[id(value)] = new
        for key, item in value.items():
            new[_copied(key, memo)] = _copied(item, memo)
        return new
    if kind in _CONTAINERS and not value:
        new = memo[id(value)] = kind()
        return new
    if isinstance(value, nn.Module) and _is_plain(kind):
        new = memo[id(value)] = kind.__new__(kind)
        state = value.__getstate__() if _HAVE_STATE else vars(value)
        new.__setstate__({name: _copied(item, memo) for name, item in state.items()})
        return new
    return copy.deepcopy(value, memo)


@cache
def _is_plain(kind: type) -> bool:
    """Tell whether such modules are copied as most are, attribute by attribute."""
    return all(
        getattr(kind, way, None) is getattr(nn.Module, way, None) for way in _OWN_WAYS
    )
