# A parameter that two read must not be changed for one of them: a decoder may take the
# weight of its encoder, transposed, two layers may have one bias. Names and classes of
# modules do not tell. What a run reads is found by the memory of the tensors, so that
# views count, plain arithmetic and functional calls as well; a module that holds the
# parameter too, but does not run on the example, counts without a read.
"""Who reads a parameter: the calls of a run, and the modules that hold it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from .flow import Call, Flow, storage_of
from .sites import flat_tensors

_Allowed = Callable[[Call, int], bool]


@dataclass(frozen=True)
class _Span:
    """A stretch of memory: elements of a tensor lie in it."""

    storage: int
    begin: int
    end: int

    @classmethod
    def of(cls, tensor: Tensor) -> _Span | None:
        storage = storage_of(tensor)
        if not storage:
            return None
        pairs = zip(tensor.shape, tensor.stride(), strict=True)
        steps = int(1 + sum((size - 1) * stride for size, stride in pairs))
        begin = int(tensor.storage_offset())
        size = tensor.element_size()
        return cls(storage, begin * size, (begin + steps) * size)

    def meets(self, other: _Span) -> bool:
        same = self.storage == other.storage
        return same and self.begin < other.end and other.begin < self.end


class ParameterUse:
    """What reads the parameters and buffers of a model in a run.

    Args:
        model: The model.
        flow: A run of it.

    Example:
        >>> import torch
        >>> from mmrazor.models.quantizers.flow import flow_of
        >>> layer = nn.Linear(3, 3)
        >>> net = nn.Sequential(layer, nn.ReLU(), layer)
        >>> use = ParameterUse(net, flow_of(net, torch.rand(1, 3)))
        >>> [str(call.site) for call, place in use.reads(layer.weight)]
        ['0:linear', '0:linear']
        >>> use.others(layer.weight, lambda call, place: place == 1, {'0'})
        []
    """

    def __init__(self, model: nn.Module, flow: Flow) -> None:
        self._reads: defaultdict[int, list[tuple[_Span, Call, int]]]
        self._reads = defaultdict(list)
        for call in flow.calls:
            if call.is_view:
                continue  # who reads the view is seen
            for place, tensor in enumerate(flat_tensors(call.args, call.kwargs)):
                span = _Span.of(tensor)
                if span is not None:
                    self._reads[span.storage].append((span, call, place))
        self._holders: defaultdict[int, list[tuple[_Span, str]]] = defaultdict(list)
        for name, module in model.named_modules():
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                span = None if tensor is None else _Span.of(tensor)
                if span is not None:
                    self._holders[span.storage].append((span, name))
        spans = (_Span.of(tensor) for tensor in flow.returned)
        self._returned = [span for span in spans if span is not None]

    def reads(self, tensor: Tensor) -> list[tuple[Call, int]]:
        """Return the calls that read elements of a tensor, and at which place."""
        span = _Span.of(tensor)
        if span is None:
            return []
        found = self._reads.get(span.storage, [])
        return [(call, place) for other, call, place in found if other.meets(span)]

    def holders(self, tensor: Tensor) -> list[str]:
        """Return the modules that hold elements of a tensor, by name."""
        span = _Span.of(tensor)
        if span is None:
            return []
        found = self._holders.get(span.storage, [])
        return [name for other, name in found if other.meets(span)]

    def others(
        self, tensor: Tensor, allowed: _Allowed, modules: Collection[str]
    ) -> list[str]:
        """Return who else reads a tensor, in words; empty if nobody does.

        Args:
            tensor: A parameter, a buffer or a part of one.
            allowed: Tells of a call and a place in it whether that may read it.
            modules: Names of those that may hold it.
        """
        found = [
            f"'{call.text}'"
            for call, place in self.reads(tensor)
            if not allowed(call, place)
        ]
        reading = {call.site.module for call, _ in self.reads(tensor)}
        found += [
            f"'{name}', which holds it too"
            for name in self.holders(tensor)
            if name not in modules and name not in reading
        ]
        span = _Span.of(tensor)
        if span is not None and any(span.meets(other) for other in self._returned):
            found.append("the caller, to whom the model returns it")
        return list(dict.fromkeys(found))


def listed(others: Iterable[str], most: int = 3) -> str:
    """Return names as a text, no more than some of them.

    Example:
        >>> listed(['a', 'b', 'c', 'd'], most=2)
        'a, b and 2 more'
    """
    names = list(others)
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
