"""Costs of a SearchSpace held against a Budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, final

from ..cost import Budget

Values: TypeAlias = "Mapping[str, Any]"
Costs: TypeAlias = "Callable[[Values], Mapping[str, float]]"


@final
class CostLimits:
    """Tell whether values of a SearchSpace are within a Budget.

    Args:
        costs: From values to costs by name, such as ``macs`` and ``params``; None if
            nothing counts them.
        budget: Bounds, or the dict to make them from; fractions are of the highest
            cost in ``ranges``. None: everything fits.
        ranges: Least and highest cost of all values, by name; may be wider than what
            can be reached. Needed for a budget.

    Raises:
        ValueError: If the budget lies outside ``ranges``, which are then named, or
            bounds a cost that is not counted.

    Example:
        >>> limits = CostLimits(lambda values: {'macs': 10 * values['width']},
        ...                     dict(macs=(0.2, 0.5)), {'macs': (10, 100)})
        >>> limits({'width': 5}), limits({'width': 6}), limits.excess({'width': 1})
        (True, False, 0.5)
    """

    def __init__(
        self,
        costs: Costs | None = None,
        budget: Budget | Mapping[str, Any] | None = None,
        ranges: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.costs: Costs = costs or (lambda values: {})
        self.ranges = dict(ranges or {})
        self.limits: dict[str, tuple[float, float]] = {}
        if budget is not None:
            self.limits = _reachable(Budget.parse(budget), self.ranges)

    def __call__(self, values: Values) -> bool:
        """Return whether the values are within all limits."""
        return not self.limits or self.fit(self.costs(values))

    def fit(self, costs: Mapping[str, float]) -> bool:
        """Return whether costs are within all limits."""
        return all(
            low <= costs[name] <= high for name, (low, high) in self.limits.items()
        )

    def excess(self, values: Values) -> float:
        """Return how far the values are outside, as a fraction of the limits; 0 inside.

        The fractions of several bounds add up.
        """
        total, costs = 0.0, self.costs(values) if self.limits else {}
        for name, (low, high) in self.limits.items():
            outside = max(low - costs[name], costs[name] - high, 0)
            total += outside / (low if costs[name] < low else high)
        return total

    def unmet(self) -> ValueError:
        """Return the error of limits that nothing was found to meet."""
        bounds = "; ".join(
            f"{name} from {low:.6g} to {high:.6g}, where this space reaches "
            "{:.6g} to {:.6g}".format(*self.ranges.get(name, (math.nan, math.nan)))
            for name, (low, high) in self.limits.items()
        )
        return ValueError(
            f"No Subnet was found that meets the whole budget: {bounds}. Widen one of "
            "the bounds."
        )


def _reachable(
    budget: Budget, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    uncounted = [name for name in budget.bounds() if name not in ranges]
    if uncounted:
        raise ValueError(
            f"The budget bounds {uncounted}, but the costs that are counted are "
            f"{list(ranges)}. Bound one of those, or pass what counts the others."
        )
    limits = budget.limits({name: high for name, (_, high) in ranges.items()})
    faults = []
    for name, (low, high) in limits.items():
        least, most = ranges[name]
        if high < least or low > most:
            faults.append(
                f"{name} may be {low:.6g} to {high:.6g}, and this space reaches "
                f"{least:.6g} to {most:.6g} only"
            )
    if faults:
        raise ValueError(
            f"No Subnet meets the budget: {'; '.join(faults)}. Move the budget into "
            "that range, or widen the search space."
        )
    return limits
