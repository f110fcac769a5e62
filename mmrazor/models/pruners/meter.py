"""Measure counts of kept units against the limits of a budget, and say what fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ...core.cost import CostTable
from .ranking import Fits

Latency: TypeAlias = "Callable[[Mapping[str, int]], float]"
Limits: TypeAlias = "Mapping[str, tuple[float, float]]"
_COUNTED = ("macs", "params", "latency_ms")
_SHOWN = 3


class BudgetError(ValueError):
    """A budget that no choice of kept units meets.

    Args:
        message: Says what fails and what holds the cost.
        minimum: The least cost that can be reached, by name, in absolute numbers.
    """

    def __init__(self, message: str, minimum: Mapping[str, float]) -> None:
        super().__init__(message)
        self.minimum: dict[str, float] = dict(minimum)


class CostMeter:
    """The costs that a budget bounds, for any counts of kept units.

    Args:
        table: MACs and parameters of any choice.
        names: Which costs: ``macs``, ``params``, ``latency_ms``.
        latency_ms: From the kept units of all groups to milliseconds.

    Raises:
        ValueError: If latency is asked for and ``latency_ms`` is missing, or a cost
            that no count of units tells.
    """

    def __init__(
        self, table: CostTable, names: Sequence[str], latency_ms: Latency | None = None
    ) -> None:
        uncounted = [name for name in names if name not in _COUNTED]
        if uncounted:
            raise ValueError(
                f"The budget bounds {uncounted}, which pruning does not count. Bound "
                f"one of {list(_COUNTED)}."
            )
        if "latency_ms" in names and latency_ms is None:
            raise ValueError(
                "The budget bounds latency_ms, but nothing estimates it. Pass "
                "latency_ms=function from the kept units by group to milliseconds, or "
                "bound macs or params."
            )
        self.table, self.names, self.latency_ms = table, tuple(names), latency_ms

    def costs(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Return the costs by name; groups that are missing keep all."""
        cost = self.table.cost(counts)
        known: dict[str, float] = {"macs": cost.macs, "params": cost.params}
        if self.latency_ms is not None and "latency_ms" in self.names:
            latency = float(self.latency_ms({**self.table.groups, **counts}))
            if not math.isfinite(latency):
                raise ValueError(
                    f"latency_ms returned {latency} for {dict(counts)}; it must be a "
                    "finite number of milliseconds."
                )
            known["latency_ms"] = latency
        return {name: known[name] for name in self.names}


def fits_limits(meter: CostMeter, limits: Limits) -> Fits:
    """Return a function that tells whether counts cost no more than the limits."""

    def fits(counts: Mapping[str, int]) -> bool:
        costs = meter.costs(counts)
        return all(cost <= limits[name][1] for name, cost in costs.items())

    return fits


def reachable_fits(
    meter: CostMeter, limits: Limits, least: Mapping[str, int], settings: str
) -> Fits:
    """Return what :func:`fits_limits` does, if the least counts fit.

    Args:
        meter: The costs.
        limits: Lowest and highest cost by name.
        least: The least counts.
        settings: What would lower them, for the error.

    Raises:
        BudgetError: If they do not; it names the least cost and what holds it.
    """
    fits = fits_limits(meter, limits)
    if not fits(dict(least)):
        text = unreachable(meter, limits, least, settings)
        raise BudgetError(text, meter.costs(least))
    return fits


def unreachable(
    meter: CostMeter, limits: Limits, least: Mapping[str, int], settings: str
) -> str:
    """Say which limits the least counts exceed, and which groups hold the cost.

    Args:
        meter: The costs.
        limits: Lowest and highest cost by name.
        least: The least counts.
        settings: What would lower them, for the last sentence.
    """
    dense, costs = meter.costs({}), meter.costs(least)
    over = [name for name in costs if costs[name] > limits[name][1]]
    faults = ", ".join(
        f"{name} is at least {costs[name]:.6g} ({costs[name] / dense[name]:.1%} of "
        f"{dense[name]:.6g} dense) and may be {limits[name][1]:.6g}"
        for name in over
    )
    held = ". ".join(_holders(meter.table, least, name) for name in over)
    return (
        f"No counts of kept units meet the budget: {faults}. {held}. Raise the budget, "
        f"or lower {settings}."
    )


def check_low(meter: CostMeter, limits: Limits, counts: Mapping[str, int]) -> None:
    """Refuse counts that cost less than the limits.

    Raises:
        ValueError: With the costs.
    """
    for name, cost in meter.costs(counts).items():
        low, high = limits[name]
        if cost < low:
            raise ValueError(
                f"The most {name} below {high:.6g} that the counts of kept units allow "
                f"is {cost:.6g}, which is under the budget's low end, {low:.6g}. Lower "
                "that end or the divisor, or loosen the budget's other bounds."
            )


def _holders(table: CostTable, least: Mapping[str, int], name: str) -> str:
    metric = "params" if name == "params" else "macs"

    def cost(counts: Mapping[str, int]) -> int:
        return getattr(table.cost(counts), metric)

    total = cost(least)
    held = {group: total - cost({**least, group: 0}) for group in least}
    most = sorted(held, key=lambda group: -held[group])[:_SHOWN]
    groups = ", ".join(
        f"'{group}' ({held[group]:.6g} {metric} with {least[group]} of "
        f"{table.groups[group]} units)"
        for group in most
    )
    outside = cost(dict.fromkeys(least, 0))
    return (
        f"Most of it is in groups {groups}; {outside:.6g} {metric} depend on none of "
        "the ranked groups"
    )
