# The calls of one eager run, as a graph: which value comes from which call. Operations
# in place give a new value to the same tensor. What they return is another object here,
# which tells who reads that (`x = x.relu_()`) from who reads the changed tensor: to the
# latter, what a quantizer does with the result is lost.
"""Which call of torch makes what another one uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ...core.cost.cost import counted, counted_extension
from ...core.extension_ops import extension_calls
from ...core.forward import call_model
from ...core.graph.trace import running_plain, tensors_in
from .functions import READS, num_macs
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
        uncounted: Operations inside it that may multiply too, but have no count.
        label: What reports call the place of a call that multiplies and has no kind.
        is_view: Whether it returns what it is given, seen in another way.
    """

    site: Site
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    func: Callable = field(repr=False)
    args: tuple = field(repr=False)
    kwargs: dict = field(repr=False)
    macs: int = 0
    uncounted: tuple[str, ...] = ()
    label: Site | None = None
    is_view: bool = False

    @property
    def kind(self) -> str:
        """Kind of the function."""
        return self.site.kind

    @property
    def text(self) -> str:
        """Place of the call in messages, with the function's name if it has no kind."""
        if self.label is not None or self.kind != "other":
            return f"{self.label or self.site}"
        name = getattr(self.func, "__name__", "").strip("_") or self.kind
        return f"{Site(self.site.module, name)}"


@dataclass(frozen=True)
class Flow:
    """The calls of one run, in order, and the values between them.

    Args:
        calls: The calls.
        names: Of the values that are parameters or buffers.
        floats: Numbers of the values that hold floating-point numbers.
        results: Numbers of the values that the model returned.
        returned: The tensors that the model returned.
        makers: By value, the call that returned it.
        users: By value, the calls that were given it, and at which place.
    """

    calls: tuple[Call, ...]
    names: dict[int, str]
    floats: frozenset[int]
    results: frozenset[int]
    makers: dict[int, Call]
    users: dict[int, list[tuple[Call, int]]]
    returned: tuple[Tensor, ...] = ()

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
    heard = extension_calls(mode.extension_called)
    with running_plain(model), heard, mode.following():
        output = run(model, inputs)
    returned = tuple(tensors_in(output))
    results = frozenset(mode.number(tensor) for tensor in returned)
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
        results,
        makers,
        dict(users),
        returned,
    )


class _FlowMode(SiteMode):
    unknown = "other"

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.calls: list[Call] = []
        self._numbers: dict[int, int] = {}
        self.names: dict[int, str] = {}
        self.floats: set[int] = set()
        self._changed: dict[int, tuple[int, str]] = {}
        self._kept: list[Tensor] = []  # so that no other tensor gets the id of one
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            self.names[self._new(tensor)] = name

    def called(self, site: Site, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Make the call and take note of it."""
        given = flat_tensors(args, kwargs)
        inputs = tuple([self.number(tensor) for tensor in given])
        version = given[0]._version if given else 0
        unseen, macs = site.kind == self.unknown, 0
        uncounted: tuple[str, ...] = ()
        if unseen:
            result, macs, uncounted = counted(lambda: func(*args, **kwargs))
        else:
            result = func(*args, **kwargs)
        in_place = bool(given) and result is given[0]
        if in_place and given[0]._version == version:
            return result  # as contiguous() and to() often do: nothing
        if in_place:
            result = given[0].view_as(given[0])
        outputs = list(_tensors(result))
        name = getattr(func, "__name__", "")
        if name == "__setitem__":
            outputs = given[:1]
        if not outputs and not (given and name in READS):
            return result
        if outputs and not unseen:
            macs = num_macs(site.kind, given, outputs[0])
        made = tuple([self._new(tensor) for tensor in outputs])
        if in_place:
            self._changed[id(given[0])] = made[0], site.module
        written = bool(given) and given[0]._version != version
        self.calls.append(
            Call(
                *(site, inputs, made, func, args, kwargs, macs, uncounted),
                label=self._label(name) if unseen and (uncounted or macs) else None,
                is_view=not written and _are_views(outputs, given),
            )
        )
        return result

    def extension_called(
        self, name: str, args: tuple, kwargs: dict, result: Any
    ) -> None:
        """Take note of a call of a compiled operator, which torch does not see."""
        forward = self._stack[-1]
        site = Site(forward.module, "other", forward.calls["other"])
        forward.calls["other"] += 1
        given = flat_tensors(args, kwargs)
        inputs = tuple([self.number(tensor) for tensor in given])
        made = tuple([self._new(tensor) for tensor in _tensors(result)])
        macs, uncounted = counted_extension(name, args, kwargs, result)
        label = self._label(name.rpartition("::")[2]) if macs or uncounted else None
        self.calls.append(
            Call(site, inputs, made, _read, args, kwargs, macs, uncounted, label)
        )

    def _label(self, name: str) -> Site:
        """Return a place that is named after what is called there."""
        forward, name = self._stack[-1], name.strip("_")
        site = Site(forward.module, name, forward.calls[name])
        forward.calls[name] += 1
        return site

    def number(self, tensor: Tensor) -> int:
        """Return the number of the value that a tensor has now."""
        value, module = self._changed.pop(id(tensor), (None, ""))
        if value is not None:  # read behind an operation in place
            number = self._new(tensor)
            site = Site(module, "other", -1)
            read = Call(
                *(site, (value,), (number,), _read, (tensor,), {}), is_view=True
            )
            self.calls.append(read)
            return number
        known = self._numbers.get(id(tensor))
        return self._new(tensor) if known is None else known

    def _new(self, tensor: Tensor) -> int:
        number = self._numbers[id(tensor)] = len(self._kept)
        self._kept.append(tensor)
        if tensor.is_floating_point():
            self.floats.add(number)
        return number


def _read(tensor: Tensor) -> Tensor:
    return tensor


def _are_views(outputs: list[Tensor], given: list[Tensor]) -> bool:
    """Tell whether all that a call returned are elements that it was given."""
    places = {place for tensor in given if (place := storage_of(tensor))}
    return bool(outputs) and all(storage_of(tensor) in places for tensor in outputs)


def storage_of(tensor: Tensor) -> int:
    """Return where the elements of a tensor begin, 0 if they are nowhere.

    Example:
        >>> import torch
        >>> x = torch.zeros(2, 3)
        >>> storage_of(x) == storage_of(x.t()[1]) != storage_of(x + 1)
        True
    """
    if tensor.layout != torch.strided or not tensor.numel():
        return 0
    return tensor.untyped_storage().data_ptr()


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, (list, tuple)):
        for item in result:
            yield from _tensors(item)
