# Many a model keeps layers that nothing runs any more. They cannot be told from those
# that a flag switches on by running the model; the code can, since it has to name what
# it runs.
"""Whether the code of a model names a part of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from torch import nn

# Methods that make, show or freeze modules; they run none.
_NO_FORWARD = re.compile(r"init|reset_parameters|^train$|repr|freeze|load|state_dict")
_CONTAINERS = (
    *(nn.Sequential, nn.ModuleList, nn.ModuleDict),
    *(nn.ParameterList, nn.ParameterDict),
)
_BY_ANY_NAME = frozenset(
    [
        *("getattr", "__dict__", "vars", "children", "named_children", "modules"),
        *("named_modules", "_modules", "get_submodule", "parameters"),
        *("named_parameters", "_parameters", "get_parameter", "eval", "exec"),
    ]
)
_HOSTS = ("torch.nn.modules.", "mmengine.")  # their base classes go over modules


def is_named(model: nn.Module, name: str) -> bool:
    """Tell whether code of the modules around a part of a model names it.

    Code that takes modules by names that are made up as it runs may name any.

    Args:
        model: The model.
        name: Of a module or parameter in it.

    Example:
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
        ...     def forward(self, x):
        ...         return self.a(x)
        >>> is_named(Net(), 'a.weight'), is_named(Net(), 'b.weight')
        (True, False)
    """
    path = name.split(".")
    for depth, leaf in enumerate(path):
        owner = model.get_submodule(".".join(path[:depth]))
        forward = getattr(type(owner).forward, "__module__", "")
        if isinstance(owner, _CONTAINERS) or forward.startswith(_HOSTS):
            continue  # a container runs all it holds, a layer all its parameters
        names = _names_around(model, path[:depth])
        if leaf not in names and not names & _BY_ANY_NAME:
            return False
    return True


def _names_around(model: nn.Module, path: list[str]) -> set[str]:
    """Return the names in the code of a module and of those that it is in."""
    found: set[str] = set()
    for depth in range(len(path) + 1):
        owner = model.get_submodule(".".join(path[:depth]))
        kind: Any = type(owner)
        found |= _names_in_class(kind)
        for value in [*vars(owner).values(), *_hooks(owner)]:
            if isinstance(value, FunctionType):
                found |= _names_in(value.__code__)
    return found


def _hooks(module: nn.Module) -> Iterator[Any]:
    yield from module._forward_hooks.values()
    yield from module._forward_pre_hooks.values()


@cache
def _names_in_class(kind: type) -> frozenset[str]:
    found: set[str] = set()
    replaced: set[str] = set()  # methods that a class nearer by has instead
    for base in kind.__mro__:
        if base is object or base.__module__.startswith(_HOSTS):
            continue
        for name, value in vars(base).items():
            if _NO_FORWARD.search(name) or name in replaced:
                continue
            named = set()
            for function in _functions(value):
                named |= _names_in(function.__code__)
            found |= named
            others = {other.__name__ for other in kind.__mro__ if other is not base}
            if not named & {"super", "__mro__", *others}:
                replaced.add(name)
    return frozenset(found)


def _functions(value: Any) -> Iterator[FunctionType]:
    """Yield the functions behind a member of a class, wrapped ones included."""
    if isinstance(value, property):
        members: list[Callable | None] = [value.fget]
    else:
        members = [getattr(value, "__func__", value)]
    for function in members:
        while function is not None:
            if isinstance(function, FunctionType):
                yield function
            function = getattr(function, "__wrapped__", None)


def _names_in(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for value in code.co_consts:
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, CodeType):
            found |= _names_in(value)
    return found
