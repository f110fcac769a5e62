# Milliseconds are no sum over channels: widths that suit the hardware are faster than
# narrower ones that do not. So nothing is predicted here unless there is a table;
# models between the smallest and the largest are pruned and timed, halving the gap each
# time (as NetAdapt, Yang et al., 2018, arXiv:1804.03230, measures its proposals; ours
# searches one number, the MACs, and lets the ranking place them).
"""Prune a model to a latency that is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import nn

from ..core.copying import copied
from ..core.cost import Budget, LatencyTable, device_name, measure_latency
from ..core.forward import examples_of
from ..core.graph import ChannelGraph
from ..models.pruners import BudgetError, Importance, Pruned, prune_graph
from .latency_layers import fingerprint

_TRIALS = 7
_CLOSE = 0.98
_SECONDS = 1.0


def prune_to_budget(
    graph: ChannelGraph,
    inputs: Any,
    budget: Budget | Mapping[str, Any],
    importance: str | Mapping[str, Any] | Importance = "L1Importance",
    *,
    device: str | torch.device = "cpu",
    advance: Callable[[], None] = lambda: None,
    table: LatencyTable | None = None,
    **options: Any,
) -> Pruned:
    """Prune the model of a channel graph, to a latency too if the budget has one.

    Args:
        graph: As for :func:`~mmrazor.models.pruners.prune_graph`.
        inputs: What the model is called with; the latency is that of one such pass, of
            a list of inputs that of the first.
        budget: Bounds on the cost.
        importance: Ranks the channels.
        device: Where latency is measured.
        advance: Called after each model that was timed.
        table: Estimates latencies, so that only what seems to fit is timed; from
            :func:`~mmrazor.apis.latency_layers.measure_table`.
        **options: As for :func:`~mmrazor.models.pruners.prune_graph`.

    Returns:
        The pruned model; ``subnet.cost`` has ``latency_ms`` if it was measured.

    Raises:
        BudgetError: If the budget cannot be reached.
        LatencyTableError: If the table is of another device or model.
        ValueError: If an argument is wrong.
    """
    budget = Budget.parse(budget)
    if budget.latency_ms is None:
        return prune_graph(graph, inputs, budget, importance, **options)

    first_inputs = examples_of(inputs)[0]

    def timed(model: nn.Module) -> float:
        latency_ms = latency_on(device, model, first_inputs)
        advance()
        return latency_ms

    if table is not None:
        table.check_fits(device_name(device), fingerprint(graph, first_inputs))
        return _by_table(graph, inputs, budget, importance, table, timed, options)
    dense_ms = timed(graph.model)
    low, high = Budget(latency_ms=budget.latency_ms).limits({"latency_ms": dense_ms})[
        "latency_ms"
    ]
    others = {k: v for k, v in budget.bounds().items() if k != "latency_ms"}

    def pruned_to(macs: float) -> tuple[Pruned, float]:
        bound = others.get("macs")
        lowest = bound[0] if isinstance(bound, tuple) else 0
        found = prune_graph(
            graph, inputs, {**others, "macs": (lowest, macs)}, importance, **options
        )
        return found, timed(found.model)

    first = prune_graph(graph, inputs, others or {"macs": 1.0}, importance, **options)
    best, best_ms = first, timed(first.model)
    if best_ms > high:
        top = float(first.cost.macs)
        bottom = _least_macs(graph, inputs, importance, options)
        best, best_ms = pruned_to(bottom)
        if best_ms > high:
            raise BudgetError(
                _unreachable(best_ms, dense_ms, high, best), {"latency_ms": best_ms}
            )
        for _ in range(_TRIALS):
            if best_ms >= _CLOSE * high:
                break
            middle = (bottom + top) / 2
            found, found_ms = pruned_to(middle)
            if found_ms <= high:
                best, best_ms, bottom = found, found_ms, middle
            else:
                top = middle
    return _with_latency(best, best_ms, low)


def latency_on(device: str | torch.device, model: nn.Module, inputs: Any) -> float:
    """Return the median milliseconds of a forward pass on a device.

    Fast models are timed more often than slow ones, for about a second.

    Args:
        device: Where to run a copy of the model.
        model: It stays where it is.
        inputs: What it is called with.
    """
    if torch.device(device).type != "cpu":
        model = copied(model).to(device)
        inputs = _moved(inputs, device)
    once = measure_latency(model, inputs, warmup=1, repeats=1).median_ms
    repeats = int(min(50, max(3, _SECONDS * 1e3 / max(once, 1e-3))))
    return measure_latency(model, inputs, warmup=1, repeats=repeats).median_ms


def _by_table(
    graph: ChannelGraph,
    inputs: Any,
    budget: Budget,
    importance: Any,
    table: LatencyTable,
    timed: Callable[[nn.Module], float],
    options: Mapping[str, Any],
) -> Pruned:
    """Prune by estimates; time the result, and aim lower by what it is too slow."""
    dense_ms = table.dense_ms
    low, high = Budget(latency_ms=budget.latency_ms).limits({"latency_ms": dense_ms})[
        "latency_ms"
    ]
    others = {k: v for k, v in budget.bounds().items() if k != "latency_ms"}
    aim, fastest = high, math.inf
    for _ in range(_TRIALS):
        # As a share, since numbers up to 1 are none of milliseconds. From 1 on it is no
        # bound: noise of the table may put narrower models above the dense one.
        share = aim / dense_ms
        bounds = {**others, "latency_ms": share} if share < 1 else others
        bounds = bounds or {"macs": 1.0}
        found = prune_graph(
            graph, inputs, bounds, importance, latency_ms=table, **options
        )
        found_ms = timed(found.model)
        if found_ms <= high:
            return _with_latency(found, found_ms, low)
        aim, fastest = aim * high / found_ms, min(fastest, found_ms)
    raise BudgetError(
        f"The budget cannot be met: of {_TRIALS} models that the latency table puts "
        f"below {high:.4g} ms, the fastest takes {fastest:.4g}. Measure the table anew "
        "on a quiet machine, or leave it out.",
        {"latency_ms": fastest},
    )


def _with_latency(found: Pruned, latency_ms: float, low: float) -> Pruned:
    if latency_ms < low:
        raise ValueError(
            f"The pruned model takes {latency_ms:.4g} ms, which is under the budget's "
            f"low end, {low:.4g} ms. Lower that end, or loosen the budget's other "
            "bounds."
        )
    cost = {**found.subnet.cost, "latency_ms": latency_ms}
    return replace(found, subnet=replace(found.subnet, cost=cost))


def _least_macs(
    graph: ChannelGraph, inputs: Any, importance: Any, options: Mapping[str, Any]
) -> float:
    try:
        found = prune_graph(graph, inputs, {"macs": 1e-12}, importance, **options)
    except BudgetError as err:
        return err.minimum["macs"]
    return float(found.cost.macs)


def _unreachable(least: float, dense: float, high: float, smallest: Pruned) -> str:
    widest = sorted(
        smallest.kept, key=lambda name: len(smallest.kept[name]), reverse=True
    )
    groups = ", ".join(
        f"'{name}' ({len(smallest.kept[name])} of {smallest.sizes[name]} units)"
        for name in widest[:3]
    )
    return (
        f"The budget cannot be met: latency_ms is at least {least:.4g} "
        f"({least / dense:.1%} of {dense:.4g} dense) and may be {high:.4g}, measured "
        f"with as few channels as allowed. Most are left in {groups}. Raise the "
        "budget, or lower min_keep or divisor, or measure on smaller inputs."
    )


def _moved(inputs: Any, device: str | torch.device) -> Any:
    """Return nested inputs with everything that can be moved on a device."""
    return BaseDataPreprocessor().to(device).cast_data(inputs)
