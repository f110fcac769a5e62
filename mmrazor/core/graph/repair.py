# Code may count on a width in ways that no trace shows (a head's width computed from the
# embedding's). Running the small model tells; then the groups involved are frozen with
# the reason, and the rest goes on.
"""Slim a model, check it, and freeze the groups that break it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.logging import print_log
from torch import nn

from ..forward import call_model
from .channel_graph import ChannelGraph
from .cuts import Cuts
from .slim import slim
from .trace import followed, running_plain
from .verify import TOLERANCE, verify_cuts

Kept = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Checked:
    """A slimmed model that passed.

    Args:
        model: The smaller model.
        kept: Kept channels by group.
        cuts: What it was made from.
        max_difference: To the silenced original, relative.
    """

    model: nn.Module
    kept: dict[str, list[int]]
    cuts: Cuts
    max_difference: float


def checked_slimming(
    graph: ChannelGraph, choose: Callable[[ChannelGraph], Kept], inputs: Any
) -> Checked:
    """Slim a model to the channels chosen; freeze groups that break it and go on.

    Args:
        graph: The model's channel graph; groups that break the model are frozen in it.
        choose: Returns kept channels for the groups that are left. Called again after
            groups were frozen.
        inputs: What the model is called with.

    Returns:
        A model whose output equals the silenced original's, to 1e-4.

    Raises:
        ValueError: Whatever ``choose`` raises.
    """
    failed: dict[str, int] = {}
    while True:
        kept = {name: list(indices) for name, indices in choose(graph).items()}
        cuts = graph.cuts(kept)
        small = slim(graph.model, cuts)
        problem = None
        try:
            difference = verify_cuts(graph, kept, cuts, small, inputs)
        except Exception as err:  # user code may raise anything
            problem = (
                f"{type(err).__name__}: {str(err).splitlines()[0] if str(err) else ''}"
            )
        else:
            if difference <= TOLERANCE:
                return Checked(small, kept, cuts, difference)
            problem = f"output differs by {difference:.2g}"
        culprits, place = _culprits(graph, kept, small, inputs, failed)
        if not culprits:
            raise RuntimeError(
                f"{type(graph.model).__name__} without any channel dropped does not "
                f"give the same output twice ({problem}). Is it random in eval mode?"
            )
        graph.freeze(culprits, f"breaks the model{place} ({problem})")
        print_log(
            f"Not pruned, because it breaks the model{place}: {', '.join(culprits)}. "
            f"{problem}",
            logger="current",
            level=30,
        )


def _culprits(
    graph: ChannelGraph,
    kept: Kept,
    small: nn.Module,
    inputs: Any,
    failed: dict[str, int],
) -> tuple[list[str], str]:
    """Return the groups to blame, and where."""
    pruned = [g for g in graph.groups if len(kept.get(g.name, range(g.size))) < g.size]
    module = _failing_module(small, inputs)
    if module:
        failed[module] = failed.get(module, 0) + 1
        names = {group.name for group in pruned}
        counted = [name for name in graph.counted_in(module) if name in names]
        inside = [
            g.name
            for g in pruned
            if any(m == module or m.startswith(f"{module}.") for m in g.modules())
        ]
        # first those that a number in the code counts, then all that pass through
        found = counted if counted and failed[module] == 1 else inside
        if found:
            return found, f" in '{module}'"
    return _bisected(graph, kept, [g.name for g in pruned], inputs), ""


def _failing_module(model: nn.Module, inputs: Any) -> str | None:
    """Return the innermost module in which a model raises; None if it runs."""
    stack = [""]
    with running_plain(model), followed(model, stack):
        try:
            call_model(model, inputs)
        except Exception:  # user code may raise anything
            return stack[-1]
    return None


def _bisected(
    graph: ChannelGraph, kept: Kept, names: list[str], inputs: Any
) -> list[str]:
    """Return groups without which the model is right, by trying halves."""

    def breaks(subset: list[str]) -> bool:
        part = {name: kept[name] for name in subset}
        cuts = graph.cuts(part)
        try:
            small = slim(graph.model, cuts)
            return verify_cuts(graph, part, cuts, small, inputs) > TOLERANCE
        except Exception:  # user code may raise anything
            return True

    if not names or not breaks(names):
        return []
    if len(names) == 1:
        return names
    middle = len(names) // 2
    first = _bisected(graph, kept, names[:middle], inputs)
    second = _bisected(graph, kept, names[middle:], inputs)
    return [*first, *second] or names
