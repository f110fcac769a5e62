# `x.reshape(B, N, 3, num_heads, C // num_heads)` computes a head's width from the width
# of what comes in. No attribute holds it, so it cannot be changed: heads and input have
# to shrink together. Whether code does so is found by running it with fewer channels in
# the heads alone.
"""Find heads whose width the code computes from the width of its input."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from ..names import is_inside
from .channel_graph import ChannelGraph
from .failing import failing_modules, inference
from .id_flow import Constraints, Ids, SizeArgument
from .slim import slim

Ties = list[tuple[Ids, Ids]]


def ties_of_computed_widths(
    graph: ChannelGraph, noted: Constraints, examples: Sequence[Any]
) -> Ties:
    """Return ties of heads to the slices of the input that they are counted by.

    Args:
        graph: Channel graph without these ties.
        noted: What it was made from.
        examples: What the model is called with, one after the other.

    Returns:
        For modules of every class that does not run when its heads alone shrink: pairs
        of equally long ids.
    """
    modules = dict(graph.model.named_modules())
    suspects: dict[type, dict[str, Ties]] = defaultdict(lambda: defaultdict(list))
    for size in noted.sizes:
        kind = type(modules[size.module])
        suspects[kind][size.module] += _ties(graph, size, noted, modules)
    result: Ties = []
    for kind, places in suspects.items():
        found = {place: ties for place, ties in places.items() if ties}
        if found and _needs_ties(graph, kind, found, examples):
            result += [tie for ties in found.values() for tie in ties]
    return result


def _ties(
    graph: ChannelGraph,
    size: SizeArgument,
    noted: Constraints,
    modules: dict[str, nn.Module],
) -> Ties:
    """Pair ids of the input with those of each part of a projection into heads."""
    module = modules[size.module]
    if size.ids.ndim < 2 or size.dim != size.ids.ndim - 1 or size.value < 2:
        return []
    if any(type(v) is int and v == size.value for v in vars(module).values()):
        return []
    heads = size.ids.reshape(-1, *size.ids.shape[-2:])
    return [
        (line.reshape(-1), part.reshape(-1))
        for line in _inputs(graph, heads, size.module, noted)
        for part in heads
    ]


def _inputs(
    graph: ChannelGraph, heads: Ids, module: str, noted: Constraints
) -> Iterator[Ids]:
    """Yield the ids that a layer inside a module makes the heads from."""
    made = graph.classes_of(heads)
    for (name, axis), (first, count) in noted.axes.items():
        columns = noted.axes.get((name, 1))
        if axis or columns is None or not is_inside(name, module):
            continue
        rows = graph.classes_of(np.arange(first, first + count))
        if columns[1] == heads[0].size and np.isin(made, rows).all():
            yield np.arange(columns[0], columns[0] + columns[1])


def _needs_ties(
    graph: ChannelGraph, kind: type, places: dict[str, Ties], examples: Sequence[Any]
) -> bool:
    """Tell whether modules of a class fail when their heads alone shrink."""
    for ties in places.values():
        groups = [graph[name] for name in graph.groups_of([part for _, part in ties])]
        kept = {g.name: list(range((g.size + 1) // 2)) for g in groups if g.size > 1}
        if kept:
            return _fails_in(graph, kept, kind, examples)
    return False


def _fails_in(
    graph: ChannelGraph, kept: dict[str, list[int]], kind: type, examples: Sequence[Any]
) -> bool:
    small = slim(graph.model, graph.cuts(kept))
    return any(
        isinstance(small.get_submodule(name), kind)
        for inputs in examples
        for name in failing_modules(small, partial(inference, inputs=inputs))
    )
