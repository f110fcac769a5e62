"""The units that scores and a budget leave.

Plain arithmetic: no model is touched, and each cost that is looked at comes from a
:class:`~mmrazor.core.cost.CostTable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ...core.cost import Budget, CostTable
from ...core.graph.channel_group import ChannelGroup
from .meter import (
    CostMeter,
    Latency,
    check_low,
    reachable_fits,
)
from .ranking import allowed_widths, ranked_counts, top_units

_RANKINGS = ("global", "local")


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
