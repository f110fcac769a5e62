"""Budget: bounds on cost, and the units that scores and a budget leave.

Both are plain data and arithmetic: no model is touched, and each cost that is looked at
comes from a :class:`~mmrazor.core.cost.CostTable`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from ...core.cost import CostTable
from ...core.graph.channel_group import ChannelGroup
from .meter import (
    CostMeter,
    Latency,
    check_low,
    reachable_fits,
)
from .ranking import allowed_widths, ranked_counts, top_units

Bound: TypeAlias = "float | Sequence[float]"
_RANKINGS = ("global", "local")
_EXAMPLE = (
    "a fraction of the dense model in (0, 1], such as 0.5, a number above 1, such as "
    "2e9, or (low, high)"
)


@dataclass(frozen=True)
class Budget:
    """Bounds on the cost of a model; all of them have to hold.

    Each is the most that it may cost, or ``(low, high)``. A number up to 1 is a
    fraction of the dense model's cost, a number above 1 the cost itself.

    Args:
        macs: Multiply-accumulates.
        params: Parameters.
        latency_ms: Milliseconds; below 1 ms as a fraction of the dense model's.

    Raises:
        TypeError: If a bound is no number and no pair of numbers.
        ValueError: If there is no bound, or a number is out of range.

    Example:
        >>> Budget(macs=0.5, params=(0, 2e6)).limits({'macs': 1000, 'params': 3e6})
        {'macs': (0, 500.0), 'params': (0, 2000000.0)}
    """

    macs: Bound | None = None
    params: Bound | None = None
    latency_ms: Bound | None = None

    def __post_init__(self) -> None:
        if not self.bounds():
            raise ValueError("The budget has no bound. Give one: dict(macs=0.5).")
        for name, bound in self.bounds().items():
            if isinstance(bound, list):  # as configs and files have them
                object.__setattr__(self, name, bound := tuple(bound))
            _check_bound(name, bound)

    @classmethod
    def parse(cls, cfg: Budget | Mapping[str, Any]) -> Budget:
        """Make a budget from a dict, or return one as it is.

        Raises:
            TypeError: If ``cfg`` is no dict.
            ValueError: If it has another key.
        """
        if isinstance(cfg, Budget):
            return cfg
        if not isinstance(cfg, Mapping):
            raise TypeError(f"The budget is {cfg!r}; say of what: dict(macs=0.5).")
        known = [field.name for field in fields(cls)]
        for key in cfg:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f" Did you mean '{near[0]}'?" if near else ""
                raise ValueError(f"The budget has '{key}'; it may have {known}.{hint}")
        return cls(**cfg)

    def bounds(self) -> dict[str, Bound]:
        """Return the bounds that are set, by name, as they were given."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: bound for name, bound in given.items() if bound is not None}

    def limits(self, dense: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """Return lowest and highest cost, by name, in absolute numbers.

        Args:
            dense: Cost of the dense model, by name.

        Raises:
            ValueError: If a lowest cost is above the highest.
        """
        limits = {}
        for name, bound in self.bounds().items():
            pair = bound if isinstance(bound, Sequence) else (0, bound)
            low, high = (_absolute(value, dense[name]) for value in pair)
            if low > high:
                raise ValueError(
                    f"budget {name}={bound} is from {low:.6g} to {high:.6g}, of "
                    f"{dense[name]:.6g} dense; the first may not be above the second."
                )
            limits[name] = (low, high)
        return limits


def kept_units(
    scores: Mapping[str, Tensor],
    table: CostTable,
    budget: Budget | Mapping[str, Any],
    *,
    ranking: str = "global",
    divisor: int = 1,
    min_keep: int | float = 1,
    channels: Mapping[str, int] | None = None,
    latency_ms: Latency | None = None,
) -> dict[str, list[int]]:
    """Choose the units of every group so that the model just meets a budget.

    Args:
        scores: Of every unit by group, higher is kept. Groups of the table that are
            missing keep all.
        table: Cost of any choice.
        budget: Bounds, or the dict to make them from.
        ranking: ``global``, one threshold over the scores of all groups
            (:func:`~.ranking.global_counts`), or ``local``, the same share of each
            group (:func:`~.ranking.local_counts`).
        divisor: Kept channels are a multiple of this in every group.
        min_keep: Units that each group keeps at least, or, if it is a float, the
            fraction of them.
        channels: Channels of one unit by group, 1 if missing; see
            :func:`channels_per_unit`.
        latency_ms: From the kept units of all groups to milliseconds, for such a
            budget; it should grow with the units.

    Returns:
        Kept units by group, ascending.

    Raises:
        BudgetError: If no choice meets the budget; it names the least cost and what
            holds it.
        ValueError: If an argument is out of range, or scores do not fit the table.
    """
    budget = Budget.parse(budget)
    check_settings(ranking, divisor, min_keep)
    arrays = _checked_scores(scores, table)
    widths = {
        name: allowed_widths(
            name, len(array), divisor, (channels or {}).get(name, 1), min_keep
        )
        for name, array in arrays.items()
    }
    meter = CostMeter(table, list(budget.bounds()), latency_ms)
    limits = budget.limits(meter.costs({}))
    least = {name: ladder.start for name, ladder in widths.items()}
    settings = f"min_keep ({min_keep}) or divisor ({divisor})"
    fits = reachable_fits(meter, limits, least, settings)
    sizes = {name: len(array) for name, array in arrays.items()}
    counts = ranked_counts(ranking, arrays, sizes, widths, fits)
    check_low(meter, limits, counts)
    return {name: top_units(arrays[name], count) for name, count in counts.items()}


def channels_per_unit(group: ChannelGroup) -> int:
    """Return how many channels of the layers that make them one unit of a group is.

    A head of 64 is 64, a channel 1 also where a flattened map gives its reader several
    inputs. A group that no layer makes counts by its widest slot.
    """
    made = [slot.indices.shape[1] for slot in group.slots if slot.role == "out"]
    if made:
        return min(made)
    return max(slot.indices.shape[1] for slot in group.slots)


def _checked_scores(
    scores: Mapping[str, Tensor], table: CostTable
) -> dict[str, np.ndarray]:
    """Return scores in the order of the table, as float64."""
    if not scores:
        raise ValueError("There are no scores, so no group can be pruned.")
    for name, of_group in scores.items():
        size = table.groups.get(name)
        if size is None:
            raise ValueError(
                f"There are scores for group '{name}', which the table of costs does "
                "not have. Make both from one graph."
            )
        if of_group.shape != (size,):
            raise ValueError(
                f"The scores of group '{name}' have shape {tuple(of_group.shape)}; it "
                f"has {size} units, so the shape must be ({size},)."
            )
        if not bool(of_group.isfinite().all()):
            raise ValueError(
                f"The scores of group '{name}' are not all finite. Look for weights or "
                "gradients that are nan or infinite."
            )
    return {
        name: scores[name].detach().cpu().double().numpy()
        for name in table.groups
        if name in scores
    }


def check_settings(ranking: Any, divisor: Any, min_keep: Any) -> None:
    """Refuse settings of :func:`kept_units` that are out of range.

    Raises:
        ValueError: With the value and what may stand there.
    """
    if ranking not in _RANKINGS:
        raise ValueError(f"ranking is {ranking!r}; use one of {list(_RANKINGS)}.")
    if not isinstance(divisor, int) or isinstance(divisor, bool) or divisor < 1:
        raise ValueError(f"divisor is {divisor!r}; give a whole number from 1 on.")
    fraction = isinstance(min_keep, float) and 0 < min_keep <= 1
    units = isinstance(min_keep, int) and not isinstance(min_keep, bool)
    if not fraction and not (units and min_keep >= 1):
        raise ValueError(
            f"min_keep is {min_keep!r}; give a number of units from 1 on, or a "
            "fraction of each group as a float in (0, 1]."
        )


def _check_bound(name: str, bound: Any) -> None:
    pair = bound if isinstance(bound, tuple) else (0, bound)
    numbers = [v for v in pair if not isinstance(v, bool) and isinstance(v, Real)]
    if len(pair) != 2 or len(numbers) != 2:
        raise TypeError(f"budget {name}={bound!r} is no bound. Give {_EXAMPLE}.")
    low, high = (float(value) for value in numbers)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"budget {name}={bound!r} is not finite. Give {_EXAMPLE}.")
    if low < 0 or high <= 0:
        raise ValueError(f"budget {name}={bound!r} is not above 0. Give {_EXAMPLE}.")


def _absolute(value: float, dense: float) -> float:
    if value > 1 or value == 0:
        return value
    return dense if value == 1 else value * dense
