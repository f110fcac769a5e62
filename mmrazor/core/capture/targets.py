"""What a source string points at, and how to listen there.

A target is found once per (kind, path) and offers ``listen(react)``: it installs what
is needed, calls ``react(value) -> value`` on every call, uses what comes back in place
of the value, and returns a function that takes everything away again.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn

from .source import Source, SourceError, near_names

React = Callable[[Any], Any]
Remove = Callable[[], None]
Listen = Callable[[React], Remove]


def find_target(model: nn.Module, source: Source) -> Listen:
    """Return the ``listen`` function of the place that a source names.

    Raises:
        SourceError: If the model has no such module or parameter, or Python no such
            function; near names are listed.
    """
    if source.kind == "call":
        return functools.partial(_listen_call, *_find_callable(source))
    if source.kind == "param":
        return functools.partial(_listen_param, *_find_parameter(model, source))
    module = _find_module(model, source)
    listen = _listen_output if source.kind == "output" else _listen_input
    return functools.partial(listen, module)


def _find_module(model: nn.Module, source: Source) -> nn.Module:
    modules = dict(model.named_modules(remove_duplicate=False))
    if source.path in modules:
        return modules[source.path]
    raise SourceError(
        f"{str(source)!r}: {type(model).__name__} has no module '{source.path}'. "
        f"{near_names(source.path, modules)}"
    )


def _find_parameter(model: nn.Module, source: Source) -> tuple[nn.Module, str]:
    tensors: set[str] = {n for n, _ in model.named_parameters(remove_duplicate=False)}
    tensors |= {n for n, _ in model.named_buffers(remove_duplicate=False)}
    if source.path not in tensors:
        raise SourceError(
            f"{str(source)!r}: {type(model).__name__} has no parameter or buffer "
            f"'{source.path}'. {near_names(source.path, tensors)}"
        )
    owner, _, name = source.path.rpartition(".")
    return model.get_submodule(owner), name


def _find_callable(source: Source) -> tuple[Any, str]:
    parts = source.path.split(".")
    owner: Any = None
    parent: Any = None
    depth = 0
    for depth in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:depth])
        try:
            owner = sys.modules.get(name) or import_module(name)
        except ModuleNotFoundError as err:
            if err.name is None or not f"{name}.".startswith(f"{err.name}."):
                raise
            continue
        break
    if owner is None:
        raise SourceError(
            f"{str(source)!r}: no function there: '{parts[0]}' cannot be imported or "
            "has no function behind it. Write the full path, for example "
            "'call:torch.nn.functional.softmax'."
        )
    for name in parts[depth:]:
        if not hasattr(owner, name):
            label = getattr(owner, "__name__", str(owner))
            raise SourceError(
                f"{str(source)!r}: '{label}' has no '{name}'. "
                f"{near_names(name, dir(owner))}"
            )
        parent, owner = owner, getattr(owner, name)
    if not callable(owner):
        raise SourceError(f"{str(source)!r} is {type(owner).__name__}, not a function.")
    return parent, parts[-1]


def _listen_output(module: nn.Module, react: React) -> Remove:
    return module.register_forward_hook(lambda _m, _args, out: react(out)).remove


def _listen_input(module: nn.Module, react: React) -> Remove:
    def hook(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if len(args) == 1 and not kwargs:
            return (react(args[0]),), {}
        if not kwargs:
            return tuple(react(args)), {}
        names: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        names = react(names)
        new_args = tuple(names[i] for i in range(len(args)))
        return new_args, {name: names[name] for name in kwargs}

    return module.register_forward_pre_hook(hook, with_kwargs=True).remove


def _listen_param(module: nn.Module, name: str, react: React) -> Remove:
    store: dict[str, Any] = module._buffers
    if name in module._parameters:
        store = module._parameters
    original = store[name]
    store[name] = react(original)

    def remove() -> None:
        store[name] = original

    return remove


def _listen_call(owner: Any, name: str, react: React) -> Remove:
    missing = object()
    raw = vars(owner).get(name, missing)  # keeps staticmethod and classmethod
    static = inspect.getattr_static(owner, name)
    function = (
        static.__func__ if isinstance(static, (staticmethod, classmethod)) else static
    )

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return react(function(*args, **kwargs))

    descriptor: Any = wrapper
    if isinstance(static, (staticmethod, classmethod)):
        descriptor = type(static)(wrapper)
    setattr(owner, name, descriptor)

    def remove() -> None:
        if raw is missing:  # the method was inherited
            delattr(owner, name)
        else:
            setattr(owner, name, raw)

    return remove
