# A Pruner is the Mutator that makes one Choice per ChannelGroup and ranks its channels
# with an Importance. Finding the groups, pricing them and cutting are core's; this file
# puts them in order.
"""Prune a model to a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from mmengine.logging import print_log
from torch import Tensor, nn

from ...core.cost import Budget, Cost, CostTable, count_cost, warn_of_uncounted
from ...core.graph import ChannelGraph, channel_graph, checked_slimming
from ...core.graph.belongs import shapes_of
from ...core.graph.cuts import Cuts
from ...core.graph.failing import Run
from ...core.space import KeepChannels, SearchSpace, Subnet
from .budget import channels_per_unit, kept_units
from .importances import Importance, build_importance
from .meter import Latency

# Graphs whose users were told what is not counted.
_WARNED: WeakSet[ChannelGraph] = WeakSet()


class NothingPrunableError(ValueError):
    """A model in which no group of channels can be pruned."""


@dataclass(frozen=True)
class Pruned:
    """A pruned model and how it came about.

    Args:
        model: A new, smaller, plain module.
        subnet: What rebuilds it from the original: choices, resolved slots, cost.
        cost: Cost of the pruned model, counted.
        dense_cost: Cost of the original.
        unprunable: Places that make channels that could not be pruned, and why.
        max_difference: Largest relative difference to the original with the dropped
            channels silenced.
        kept: Kept channels by group.
        sizes: Channels by group before.
    """

    model: nn.Module
    subnet: Subnet
    cost: Cost
    dense_cost: Cost
    unprunable: dict[str, str]
    max_difference: float
    kept: dict[str, list[int]] = field(repr=False)
    sizes: dict[str, int] = field(repr=False)


def prune_graph(
    graph: ChannelGraph,
    inputs: Any,
    budget: Budget | Mapping[str, Any],
    importance: str | Mapping[str, Any] | Importance = "L1Importance",
    *,
    ranking: str = "global",
    divisor: int = 1,
    min_keep: int | float = 1,
    latency_ms: Latency | None = None,
    trial: Run | None = None,
) -> Pruned:
    """Prune the model of a channel graph.

    Args:
        graph: Its groups are ranked; those that break the model are frozen in it.
        inputs: What the model is called with.
        budget: Bounds on the cost, see :class:`Budget`.
        importance: Ranks the channels: a name, a config or an object.
        ranking: ``global`` or ``local``, see :func:`kept_units`.
        divisor: Kept channels are a multiple of this in every group.
        min_keep: Units that each group keeps at least, or a fraction of them.
        latency_ms: From kept units by group to milliseconds, for such a budget.
        trial: Runs the pruned model in another way, such as a step of training; groups
            that make it raise are frozen as well.

    Raises:
        BudgetError: If the budget cannot be reached.
        NothingPrunableError: If there is no group.
        ValueError: If an argument is out of range.
    """
    budget = Budget.parse(budget)
    scorer = build_importance(importance)
    table = cost_table(graph)
    known = graph.recorded if graph.recorded.inputs is inputs else None
    dense = count_cost(graph.model, inputs, known)
    if budget.macs is not None and graph not in _WARNED:  # as often as it is tried
        warn_of_uncounted(dense.uncounted, type(graph.model).__name__)
        _WARNED.add(graph)
    scores: dict[str, Tensor] = {}

    def choose(current: ChannelGraph) -> dict[str, list[int]]:
        if not current.groups:
            raise NothingPrunableError(nothing_prunable(current))
        for group in current.groups:
            if group.name not in scores:
                scores[group.name] = scorer(group)
        return kept_units(
            {group.name: scores[group.name] for group in current.groups},
            table,
            budget,
            ranking=ranking,
            divisor=divisor,
            min_keep=min_keep,
            channels={g.name: channels_per_unit(g) for g in current.groups},
            latency_ms=latency_ms,
        )

    checked = checked_slimming(graph, choose, inputs, trial)
    cost = count_cost(checked.model, inputs, checked.recorded)
    return Pruned(
        checked.model,
        subnet_of(graph, checked.kept, checked.cuts, cost),
        cost,
        dense,
        dict(graph.unprunable),
        checked.max_difference,
        checked.kept,
        {group.name: group.size for group in graph.groups},
    )


def cost_table(graph: ChannelGraph) -> CostTable:
    """Return the exact cost of every choice of channels of a graph."""
    macs, params = graph.products()
    return CostTable.of(graph.sizes(), macs, params)


def search_space(graph: ChannelGraph) -> SearchSpace:
    """Return one Choice for each group of channels of a graph."""
    return SearchSpace([KeepChannels(g.name, g.size) for g in graph.groups])


def subnet_of(
    graph: ChannelGraph,
    kept: Mapping[str, Sequence[int]],
    cuts: Cuts,
    cost: Cost,
    score: Mapping[str, float] | None = None,
) -> Subnet:
    """Return the Subnet that rebuilds a pruned model."""
    choices = {g.name: list(kept.get(g.name, range(g.size))) for g in graph.groups}
    numbers = {"macs": cost.macs, "params": cost.params}
    fingerprint = search_space(graph).fingerprint()
    slots = {**cuts.to_dict(), "shapes": shapes_of(graph.model, cuts)}
    return Subnet(fingerprint, choices, slots, numbers, dict(score or {}))


def nothing_prunable(graph: ChannelGraph) -> str:
    """Say why no group of a model can be pruned."""
    reasons = [f"'{name}': {why}" for name, why in graph.unprunable.items()]
    shown = "; ".join(reasons[:8])
    more = f"; and {len(reasons) - 8} more" if len(reasons) > 8 else ""
    why = f" {shown}{more}." if reasons else " No layer that makes channels was run."
    return (
        f"Nothing in {type(graph.model).__name__} can be pruned.{why} Look at "
        "tools/show_channels.py; example inputs that run the whole model may help."
    )


def prune_model(
    model: nn.Module,
    inputs: Any,
    budget: Budget | Mapping[str, Any],
    importance: str | Mapping[str, Any] | Importance = "L1Importance",
    *,
    ignore: Sequence[str] = (),
    tie: Sequence[Sequence[str]] = (),
    whole: Sequence[str] = (),
    **options: Any,
) -> Pruned:
    """Prune a model to a budget; see :func:`prune_graph` for the other arguments.

    Args:
        model: Any module; it is left as it was.
        inputs: What it is called with.
        budget: Bounds on the cost.
        importance: Ranks the channels.
        ignore: See :func:`~mmrazor.core.graph.channel_graph`, as for the next two.
        tie: Modules whose outputs must keep the same channels.
        whole: Modules to treat as one.
        **options: See :func:`prune_graph`.
    """
    graph = channel_graph(model, inputs, ignore=ignore, tie=tie, whole=whole)
    pruned = prune_graph(graph, inputs, budget, importance, **options)
    # That outputs keep their size goes without saying.
    left = {k: why for k, why in pruned.unprunable.items() if "is an output" not in why}
    if left:
        name, why = next(iter(left.items()))
        print_log(
            f"{len(left)} places in {type(model).__name__} were left alone, such as "
            f"'{name}', which {why}; the result's 'unprunable' has them all.",
            logger="current",
        )
    return pruned
