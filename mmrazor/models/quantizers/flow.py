# The calls of one eager run, as a graph: which value comes from which call. Operations
# in place give a new value to the same tensor.
"""Which call of torch makes what another one uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ...core.forward import call_model
from ...core.graph.trace import running_plain, tensors_in
from .functions import num_macs
from .sites import Site, SiteMode, flat_tensors


@dataclass(frozen=True)
class Call:
    """One call of torch in a run.

    Args:
        site: Where it was made; the kind is ``other`` if it is none of concern.
        inputs: Numbers of the values that it was given, in the order of
            :func:`~.sites.flat_tensors`.
        outputs: Numbers of the values that it returned.
        func: What was called.
        args: Positional arguments.
        kwargs: Keyword arguments.
        macs: Multiply-accumulates.
    """

    site: Site
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    func: Callable = field(repr=False)
    args: tuple = field(repr=False)
    kwargs: dict = field(repr=False)
    macs: int = 0

    @property
    def kind(self) -> str:
        """Kind of the function."""
        return self.site.kind


@dataclass(frozen=True)
class Flow:
    """The calls of one run, in order, and the values between them.

    Args:
        calls: The calls.
        names: Of the values that are parameters or buffers.
        floats: Numbers of the values that hold floating-point numbers.
        results: Numbers of the values that the model returned.
        makers: By value, the call that returned it.
        users: By value, the calls that were given it, and at which place.
    """

    calls: tuple[Call, ...]
    names: dict[int, str]
    floats: frozenset[int]
    results: frozenset[int]
    makers: dict[int, Call]
    users: dict[int, list[tuple[Call, int]]]

    def sole_user(self, value: int) -> Call | None:
        """Return the one call that uses a value and nobody else, if there is."""
        users = self.users.get(value, [])
        if len(users) == 1 and value not in self.results:
            return users[0][0]
        return None


def flow_of(
    model: nn.Module,
    inputs: Any,
    run: Callable[[nn.Module, Any], Any] = call_model,
) -> Flow:
    """Run a model once in eval mode and return the calls of torch that it makes.

    Args:
        model: Any module; it is left as it was.
        inputs: A tensor, a tuple of arguments or a dict of keyword arguments.
        run: Runs the model on them.

    Example:
        >>> import torch
        >>> flow = flow_of(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.rand(1, 2))
        >>> [str(call.site) for call in flow.calls]
        ['0:linear', '1:clamp']
        >>> str(flow.sole_user(flow.calls[0].outputs[0]).site)
        '1:clamp'
    """
    mode = _FlowMode(model)
    with running_plain(model), mode.following():
        output = run(model, inputs)
    results = {mode.numbers.get(id(tensor)) for tensor in tensors_in(output)}
    makers: dict[int, Call] = {}
    users: defaultdict[int, list[tuple[Call, int]]] = defaultdict(list)
    for call in mode.calls:
        makers |= dict.fromkeys(call.outputs, call)
        for place, value in enumerate(call.inputs):
            users[value].append((call, place))
    return Flow(
        tuple(mode.calls),
        mode.names,
        frozenset(mode.floats),
        frozenset(r for r in results if r is not None),
        makers,
        dict(users),
    )


class _FlowMode(SiteMode):
    unknown = "other"

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.calls: list[Call] = []
        self.numbers: dict[int, int] = {}
        self.names: dict[int, str] = {}
        self.floats: set[int] = set()
        self._kept: list[Tensor] = []  # so that no other tensor gets the id of one
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            self.names[self._new(tensor)] = name

    def called(self, site: Site, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Make the call and take note of it."""
        given = flat_tensors(args, kwargs)
        inputs = tuple([self._number(tensor) for tensor in given])
        result = func(*args, **kwargs)
        outputs = list(_tensors(result))
        if getattr(func, "__name__", "") == "__setitem__":
            outputs = given[:1]
        if not outputs:
            return result
        macs = num_macs(site.kind, given, outputs[0])
        made = tuple([self._new(tensor) for tensor in outputs])
        self.calls.append(Call(site, inputs, made, func, args, kwargs, macs))
        return result

    def _number(self, tensor: Tensor) -> int:
        number = self.numbers.get(id(tensor))
        return self._new(tensor) if number is None else number

    def _new(self, tensor: Tensor) -> int:
        number = self.numbers[id(tensor)] = len(self._kept)
        self._kept.append(tensor)
        if tensor.is_floating_point():
            self.floats.add(number)
        return number


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, (list, tuple)):
        for item in result:
            yield from _tensors(item)
