# A detector that is not trained gives thousands of boxes nearly the same score; which
# of them it hands on is decided by rounding. Two runs that are equal but for rounding
# then differ at random from there on, unless the second one decides as the first did.
"""Let a second run repeat what the first decided by comparing floats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..extension_ops import wrapped_extensions
from .trace import OpTrace, op_name, tensors_in

# Positions along a dim, and the values there; with their default dim.
_PICKS = {
    "aten::topk": (2, -1),
    "aten::sort": (1, -1),
    "aten::max": (1, None),
    "aten::min": (1, None),
}
# Lists of what is left, of any length: torchvision's, and mmcv's compiled functions.
_LISTS = ("nms", "softnms")
_ROUNDING = 1e-3  # how far values may be off, and which part of decisions may differ


@dataclass
class Choices:
    """What a run decided, in order: names of operations, and their integer results."""

    made: list[tuple[str, Tensor]] = field(default_factory=list)
    taken: int = 0

    def next_of(self, name: str) -> Tensor | None:
        """Return what was decided at the same place; None once runs went apart."""
        if self.taken >= len(self.made) or self.made[self.taken][0] != name:
            self.taken = len(self.made)
            return None
        self.taken += 1
        return self.made[self.taken - 1][1]


def picks(recorded: OpTrace) -> bool:
    """Tell whether a run picked some of many by their values, as detectors do."""
    return any(
        call.name in _PICKS or call.name.endswith(_LISTS)
        for call in recorded.calls
        if not isinstance(call.result, Tensor) or call.name.endswith(_LISTS)
    )


@contextmanager
def noting_choices() -> Iterator[Choices]:
    """Note what is decided meanwhile."""
    choices = Choices()

    def noted(name: str, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if name in _LISTS and isinstance(result, Tensor):
                choices.made.append((name, result.clone()))
            return result

        return call

    with wrapped_extensions(noted), _Noting(choices):
        yield choices


@contextmanager
def repeating(choices: Choices) -> Iterator[None]:
    """Decide as another run did wherever no more than rounding tells otherwise.

    Example:
        >>> import torch
        >>> scores = torch.tensor([0.5, 0.5000001, 0.1])
        >>> with noting_choices() as choices:
        ...     _ = scores.topk(1)
        >>> with repeating(choices):
        ...     scores.flip(0).flip(0)[[1, 0, 2]].topk(1).indices.tolist()
        [1]
    """
    choices.taken = 0

    def repeated(name: str, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            other = choices.next_of(name) if name in _LISTS else None
            return function(*args, **kwargs) if other is None else other.clone()

        return call

    with wrapped_extensions(repeated), _Repeating(choices):
        yield


class _Deciding(TorchDispatchMode, ABC):
    """See what every operation decides.

    Args:
        choices: Those of a run.
    """

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self.choices = choices

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # what would be wrapped around each call takes longer than it

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = op_name(func)
        decided = _decision(name, result, args)
        if decided is None:
            return result
        return self._settled(name, result, decided, args, kwargs)

    @abstractmethod
    def _settled(
        self, name: str, result: Any, decided: Tensor, args: tuple, kwargs: dict
    ) -> Any:
        """Return what takes the place of a result with a decision in it."""


@final
class _Noting(_Deciding):
    def _settled(
        self, name: str, result: Any, decided: Tensor, args: tuple, kwargs: dict
    ) -> Any:
        self.choices.made.append((name, decided.clone()))
        return result


@final
class _Repeating(_Deciding):
    def _settled(
        self, name: str, result: Any, decided: Tensor, args: tuple, kwargs: dict
    ) -> Any:
        other = self.choices.next_of(name)
        if other is None:
            return result
        if name.endswith("::nms"):
            return other.clone()
        if other.shape != decided.shape:
            return result
        if isinstance(result, Tensor):
            differing = int((other != decided).sum())
            return other.clone() if differing <= _few(other) else result
        values = _picked(name, args, kwargs, other)
        if _are_close(values, result[0]):
            return values, other.clone()
        return result


def _decision(name: str, result: Any, args: tuple) -> Tensor | None:
    """Return the integers or booleans that an operation made of floats."""
    if isinstance(result, Tensor):
        decided = result
    elif name in _PICKS and isinstance(result, (tuple, list)):
        decided = result[1]
    else:
        return None
    if decided.is_floating_point() or decided.is_complex():
        return None
    given = next(tensors_in(args), None)
    return decided if given is not None and given.is_floating_point() else None


def _picked(name: str, args: tuple, kwargs: dict, places: Tensor) -> Tensor:
    """Return what lies at some places, in the shape of the places."""
    position, default = _PICKS[name]
    dim: Any = args[position] if len(args) > position else kwargs.get("dim", default)
    if places.dim() < args[0].dim():  # max and min without the dim
        return args[0].gather(dim, places.unsqueeze(dim)).squeeze(dim)
    return args[0].gather(dim, places)


def _are_close(a: Tensor, b: Tensor) -> bool:
    if not b.numel():
        return True
    gap = (a - b).abs().masked_fill(a == b, 0.0)  # infinities are equal to themselves
    scale = b.abs().masked_fill(~b.isfinite(), 0.0).max()
    return bool((gap <= _ROUNDING * scale).all())


def _few(decided: Tensor) -> float:
    return max(1.0, _ROUNDING * decided.numel())
