# Legend: a *place* is a module that passes numbers of channels to operations. A number
# that its code computes from the width of what comes in stays right if both shrink
# together: they are tied. One that it computes from an attribute stays right if the
# attribute follows.
"""What may keep code running that computes how many channels there are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, combinations

import numpy as np
import torch
from torch import Tensor

from ..names import is_inside
from .attribute_rules import AttributeRule, Place, possible_rules
from .attributes import numbers_of
from .channel_graph import ChannelGraph
from .code_numbers import Counted, changed_numbers, passed_together
from .fields import squeezed, varying
from .id_flow import IdFlow, Ids, SizeArgument
from .trace import tensors_in

#: Dims of ids that lose the same slices; the second may be longer, by whole parts.
Tie = tuple["Counting", "Counting"]
_MOST_RULES = 12


@dataclass(frozen=True, eq=False)
class Counting:
    """A dim of some ids, the slices along which are counted.

    Args:
        ids: The ids.
        dim: The dim.
    """

    ids: Ids
    dim: int = 0

    def line(self, flow: IdFlow) -> Ids:
        """Return one id for each slice, which is dropped with the slice."""
        if self.ids.ndim == 1:
            return self.ids
        part = flow.project(torch.from_numpy(self.ids), (self.dim,))
        return squeezed(part).numpy()


@dataclass(frozen=True)
class Remedy:
    """Ties and rules to try for the modules of one class.

    Args:
        rules: How attributes of the class follow from numbers.
        ties: What has to shrink together, by what it is.
    """

    rules: tuple[AttributeRule, ...] = ()
    ties: Mapping[str, Sequence[Tie]] = field(default_factory=dict)

    def without(self, name: str) -> Remedy:
        """Return the remedy with fewer ties."""
        return replace(self, ties={k: v for k, v in self.ties.items() if k != name})

    def apply_(self, flow: IdFlow) -> None:
        """Note the ties."""
        for one, other in chain.from_iterable(self.ties.values()):
            first, second = one.line(flow), other.line(flow)
            parts = second.reshape(-1, len(first))
            flow.noted.ties += [(first, part.copy()) for part in parts]


def remedies(
    graph: ChannelGraph,
    flow: IdFlow,
    places: Sequence[str],
    runs: Sequence[Mapping[str, Sequence[int]]],
) -> Iterator[Remedy]:
    """Yield remedies for the modules of one class, first what leaves most to prune.

    Args:
        graph: Channel graph without them.
        flow: What it was made from.
        places: Names of the modules.
        runs: Kept channels of groups with which they were run, and failed.
    """
    kept = {name: indices for run in runs for name, indices in run.items()}
    passed = [number for number in graph.passed(kept) if number[0].module in places]
    rules = possible_rules(list(_known(graph, places, passed)))[:_MOST_RULES]
    single = [Remedy((rule,), _folds(graph, rule, passed)) for rule in rules]
    double = [Remedy(pair) for pair in combinations(rules, 2) if _differ(*pair)]
    yield from single
    ties = list(_ties(graph, flow, places, passed))
    yield from ties
    yield from double[:_MOST_RULES]
    for one in ties:
        for each in single:
            yield replace(each, ties={**each.ties, **one.ties})


def _folds(
    graph: ChannelGraph, rule: AttributeRule, passed: Counted
) -> dict[str, list[Tie]]:
    """Let what is counted by a multiple of an attribute lose as many channels each."""
    if rule.how != "share" or not isinstance(rule.factor, int):
        return {}
    ties = []
    for size, _ in passed:
        own = vars(graph.model.get_submodule(size.module)).get(rule.name)
        if type(own) is int and own * rule.factor == size.value == len(size.ids):
            ties.append((Counting(size.ids[:own]), Counting(size.ids)))
    return {"folds": ties} if ties else {}


def _differ(one: AttributeRule, other: AttributeRule) -> bool:
    return one.name != other.name


def _known(
    graph: ChannelGraph, places: Sequence[str], passed: Counted
) -> Iterator[Place]:
    numbers, together = changed_numbers(passed), passed_together(passed)
    for place in places:
        module = graph.model.get_submodule(place)
        own = numbers.get(place, {})
        if own:
            plain = numbers_of(module, own, together.get(place, {}))
            changed = {k: v for k, v in plain.items() if v != getattr(module, k)}
            yield module, own, changed


def _ties(
    graph: ChannelGraph, flow: IdFlow, places: Sequence[str], passed: Counted
) -> Iterator[Remedy]:
    """Yield single kinds of ties, then more of them together."""
    kinds = ("heads", "width", "alike", "parts", "share")
    found: dict[str, dict[str, list[Tie]]] = {kind: {} for kind in kinds}
    found["alike"] = _alike(graph, passed)
    found["parts"] = _parts(passed)
    for place in places:
        lines = _lines_in(graph, flow, place)
        seen: set[tuple] = set()
        counts: Counter[str] = Counter()
        for size, _ in passed:
            if size.module != place or not _is_new(graph, size, seen):
                continue
            for kind, ties in _of_input(graph, flow, size, lines):
                counts[kind] += 1
                found[kind].setdefault(f"{kind} {counts[kind]}", []).extend(ties)
    options = [found[kind] for kind in kinds if found[kind]]
    for count in range(1, len(options) + 1):
        for some in combinations(options, count):
            yield Remedy(ties={k: v for one in some for k, v in one.items()})


def _is_new(graph: ChannelGraph, size: SizeArgument, seen: set[tuple]) -> bool:
    key = graph.classes_of(size.ids).tobytes(), size.ids.shape, size.dim
    if key in seen:
        return False
    seen.add(key)
    return True


def _alike(graph: ChannelGraph, passed: Counted) -> dict[str, list[Tie]]:
    """Tie what one number counts in several places, if it would have to differ."""
    counts: dict[tuple[str, int], list[tuple[SizeArgument, int]]] = defaultdict(list)
    for size, new in passed:
        counts[size.module, size.value].append((size, new))
    found: dict[str, list[Tie]] = defaultdict(list)
    for numbers in counts.values():
        if len({new for _, new in numbers}) < 2:
            continue
        seen: set[tuple] = set()
        different = [s for s, _ in numbers if _is_new(graph, s, seen)]
        first = Counting(different[0].ids, different[0].dim)
        found["alike"] += [(first, Counting(s.ids, s.dim)) for s in different[1:]]
    return found


def _parts(passed: Counted) -> dict[str, list[Tie]]:
    """Tie parts that one call cuts, each to the smallest that it is a multiple of."""
    calls: dict[tuple[str, int], list[SizeArgument]] = defaultdict(list)
    for size, _ in passed:
        if size.ids.ndim == 1:
            calls[size.module, size.call].append(size)
    ties = []
    for sizes in calls.values():
        least = min(sizes, key=lambda size: len(size.ids))
        if len(sizes) > 1 and all(len(s.ids) % len(least.ids) == 0 for s in sizes):
            ties += [(Counting(least.ids), Counting(s.ids)) for s in sizes]
    return {"parts": ties} if ties else {}


def _of_input(
    graph: ChannelGraph, flow: IdFlow, size: SizeArgument, lines: Sequence[Ids]
) -> Iterator[tuple[str, list[Tie]]]:
    """Tie what a number counts to the channels of the input that it may follow.

    A number along the last of several dims is a share of the input's width: the heads
    of attention take a slice of it each.

    Yields:
        ``heads`` for those; ``width`` for as many channels as the input has; ``share``
        for a part or a multiple of them.
    """
    if size.ids.ndim > 1:
        if size.dim != size.ids.ndim - 1 or size.value < 2:
            return
        parts = size.ids.reshape(-1, size.ids.shape[-2] * size.ids.shape[-1])
        own = list(_columns_of(graph, flow, parts, size.module))
        for line in own or [line for line in lines if len(line) == parts.shape[1]]:
            yield "heads", [(Counting(line), Counting(part)) for part in parts]
        return
    for line in lines:
        short, long = sorted([size.ids, line], key=len)
        if len(short) < 2 or len(long) % len(short):
            continue
        pieces = graph.classes_of(long).reshape(-1, len(short))
        if not (pieces == graph.classes_of(short)).all():
            kind = "width" if len(short) == len(long) else "share"
            yield kind, [(Counting(short), Counting(long))]


def _columns_of(
    graph: ChannelGraph, flow: IdFlow, heads: Ids, module: str
) -> Iterator[Ids]:
    """Yield what a layer inside a module makes heads from."""
    made = graph.classes_of(heads)
    for (name, axis), (first, count) in flow.noted.axes.items():
        columns = flow.noted.axes.get((name, 1))
        if axis or columns is None or not is_inside(name, module):
            continue
        rows = graph.classes_of(np.arange(first, first + count))
        if columns[1] == heads.shape[1] and np.isin(made, rows).all():
            yield np.arange(columns[0], columns[0] + columns[1])


def _lines_in(graph: ChannelGraph, flow: IdFlow, place: str) -> list[Ids]:
    """Return the channels along single dims of what comes into a module."""
    made: set[int] = set()
    found: dict[bytes, Ids] = {}
    for call in graph.recorded.calls:
        if not is_inside(call.module, place):
            continue
        for tensor in tensors_in([call.args, call.kwargs]):
            if id(tensor) in made or flow.name_of(tensor) is not None:
                continue
            for ids in _lines(flow, tensor):
                found[graph.classes_of(ids).tobytes()] = ids
        made |= {id(tensor) for tensor in tensors_in(call.result)}
    return list(found.values())


def _lines(flow: IdFlow, tensor: Tensor) -> Iterator[Ids]:
    for each in flow.of(tensor):
        if len(varying(each)) == 1:
            yield squeezed(each).numpy()
