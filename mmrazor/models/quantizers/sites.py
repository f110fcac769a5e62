# Symbolic tracing fails on detectors, and module classes do not tell what a forward
# does with `x + y`. A TorchFunctionMode sees every call of torch in an eager run, also
# under torch.export; a call is found again by the module that makes it, its kind and
# how many of that kind the module made before. So nothing of the user's is edited.
"""Sites: where a model calls torch, and a way to step in there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .attention import plain_attention
from .functions import kind_of, pads_with_zero


@dataclass(frozen=True, order=True)
class Site:
    """A place in a model's code that calls torch.

    A module that is called several times, such as the head of a detector, has the
    same sites each time. One without parameters, such as a ReLU that a block calls
    behind each of its layers, has sites of their own in each of its calls.

    Args:
        module: Name of the module whose forward makes the call.
        kind: Of the function, see :func:`~.functions.kind_of`.
        index: How many of this kind the same forward has called before; that of all
            calls of a module without parameters in one forward of its caller.

    Example:
        >>> str(Site('backbone.layer1.0', 'add', 0))
        'backbone.layer1.0:add'
        >>> str(Site('', 'conv', 1))
        ':conv.1'
    """

    module: str
    kind: str
    index: int = 0

    def __str__(self) -> str:
        number = f".{self.index}" if self.index else ""
        return f"{self.module}:{self.kind}{number}"


@dataclass
class _Forward:
    """A forward that runs: what it has called, itself and in modules without state."""

    module: str
    calls: Counter[str] = field(default_factory=Counter)
    inside: dict[str, _Forward] = field(default_factory=dict)


class SiteMode(TorchFunctionMode, ABC):
    """See every call of torch that has a kind, with its site.

    Args:
        model: Its modules tell where a call comes from.

    Attributes:
        unknown: Kind of all other calls; None if they are not to be seen.
    """

    unknown: str | None = None

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._names = {module: name for name, module in model.named_modules()}
        self._with_state = _with_state(model)
        self._stack = [_Forward("")]

    @abstractmethod
    def called(self, site: Site, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Do what is to be done at a site; return what the call returns."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        kind = kind_of(func)
        if kind == "pad":
            kind = "move" if pads_with_zero(args, kwargs) else None
        kind = kind or self.unknown
        if kind is None:
            return func(*args, **kwargs)
        if kind == "attention":  # its matrix products are sites of their own
            with self:
                return plain_attention(*args, **kwargs)
        forward = self._stack[-1]
        site = Site(forward.module, kind, forward.calls[kind])
        forward.calls[kind] += 1
        return self.called(site, func, args, kwargs)

    def enter_module(self, name: str, *_: Any) -> None:
        """Take note that a module's forward begins; a forward pre-hook."""
        forward = _Forward(name)
        if name not in self._with_state:
            forward = self._stack[-1].inside.setdefault(name, forward)
        self._stack.append(forward)

    def leave_module(self, name: str, *_: Any) -> None:
        """Take note that it ends, also if it raises; a forward hook."""
        if all(forward.module != name for forward in self._stack):
            return  # it raised before it was entered, in a hook of somebody else's
        while self._stack.pop().module != name:
            pass

    @contextmanager
    def following(self) -> Iterator[None]:
        """Step in while the model runs; afterwards its hooks are gone."""
        handles = []
        for module, name in self._names.items():
            if not name:
                continue  # the whole model is entered already
            # By name: exporters hand stand-ins for the modules to hooks.
            enter, leave = (
                partial(note, name) for note in (self.enter_module, self.leave_module)
            )
            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(leave, always_call=True))
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()


def _with_state(model: nn.Module) -> set[str]:
    """Return the names of modules that hold parameters or buffers, also inside."""
    owned = [
        name.rpartition(".")[0]
        for tensors in (model.named_parameters, model.named_buffers)
        for name, _ in tensors(remove_duplicate=False)
    ]
    found: set[str] = set()
    for name in owned:
        while name not in found:
            found.add(name)
            name = name.rpartition(".")[0]
    return found


def flat_tensors(args: tuple, kwargs: dict) -> list[Tensor]:
    """Return the tensors that a call is given, those in lists too, in order.

    Example:
        >>> import torch
        >>> x = torch.zeros(1)
        >>> len(flat_tensors(([x, x], 3), {'out': x}))
        3
    """
    found: list[Tensor] = []
    for arg in (*args, *kwargs.values()):
        if isinstance(arg, Tensor):
            found.append(arg)
        elif isinstance(arg, (list, tuple)):
            found += [item for item in arg if isinstance(item, Tensor)]
    return found


def with_tensors(
    args: tuple, kwargs: dict, change: Callable[[int, Tensor], Tensor]
) -> tuple[tuple, dict]:
    """Return the arguments of a call with its tensors changed.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.
        change: From the place in :func:`flat_tensors`, and the tensor, to another.
    """
    place = -1

    def changed(arg: Any) -> Any:
        nonlocal place
        if isinstance(arg, Tensor):
            place += 1
            return change(place, arg)
        if isinstance(arg, (list, tuple)) and any(isinstance(i, Tensor) for i in arg):
            return type(arg)([changed(i) if isinstance(i, Tensor) else i for i in arg])
        return arg

    inside = tuple([changed(arg) for arg in args])
    return inside, {key: changed(arg) for key, arg in kwargs.items()}
