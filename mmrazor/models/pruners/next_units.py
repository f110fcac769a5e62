# Beside kept_units: there a dense model is cut once, here what is left of it is cut
# again, while shares, least widths and the budget still refer to the dense one.
"""The units that the next pruning of a schedule leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
from torch import Tensor

from ...core.cost import Budget
from ...core.graph.channel_group import ChannelGroup
from .budget import channels_per_unit, check_settings
from .meter import CostMeter, Limits, check_low, fits_limits, reachable_fits
from .pruning_state import PruningState
from .ranking import (
    Fits,
    allowed_widths,
    floor_width,
    ranked_counts,
    top_units,
)


@dataclass(frozen=True)
class Selection:
    """How scores and a budget become numbers of units.

    Args:
        budget: Bounds on the cost of the final model.
        ranking: ``global``, one threshold over all groups, or ``local``, the same share
            of each group of the original.
        divisor: Kept channels are a multiple of this in every group.
        min_keep: Units that each group keeps at least, or a fraction of the original's.

    Raises:
        ValueError: If a setting is out of range, or the budget bounds a latency, which
            nothing measures in training, or the bytes of bit-widths.
    """

    budget: Budget
    ranking: str = "global"
    divisor: int = 1
    min_keep: int | float = 1

    def __post_init__(self) -> None:
        check_settings(self.ranking, self.divisor, self.min_keep)
        if self.budget.latency_ms is not None:
            raise ValueError(
                f"budget latency_ms={self.budget.latency_ms}: nothing measures latency "
                "in training. Bound macs or params."
            )
        if self.budget.size_bytes is not None:
            raise ValueError(
                f"budget size_bytes={self.budget.size_bytes}: that is a bound for "
                "bit-widths, which pruning does not choose. Bound macs or params."
            )

    def meter(self, state: PruningState) -> CostMeter:
        """Return what measures choices among the units that are left."""
        return CostMeter(state.table(state.counts()), list(self.budget.bounds()))

    def limits(self, state: PruningState, share: float) -> Limits:
        """Return lowest and highest cost at a point of the schedule.

        Args:
            state: Knows the dense cost.
            share: Of the way to the target, in [0, 1]; the low end holds for 1 only.
        """
        cost = state.dense_cost()
        dense = {"macs": float(cost.macs), "params": float(cost.params)}
        target = self.budget.limits(dense)
        return {
            name: (low, high)
            if share == 1
            else (0, dense[name] - share * (dense[name] - high))
            for name, (low, high) in target.items()
        }

    def widths(self, group: ChannelGroup, state: PruningState) -> range:
        """Return the numbers of units that a group may have from now on."""
        least = self.min_keep
        if isinstance(least, float):  # of the original; 0.07 * 100 is a little above 7
            least = max(1, ceil(least * state.sizes[group.name] - 1e-9))
        channels = channels_per_unit(group)
        return allowed_widths(group.name, group.size, self.divisor, channels, least)

    def halves(
        self, groups: list[ChannelGroup], state: PruningState
    ) -> dict[str, list[int]]:
        """Return the first half of every group, or as few units as it may have."""
        ladders = {group.name: (self.widths(group, state), group) for group in groups}
        return {
            name: list(range(floor_width(ladder, group.size / 2)))
            for name, (ladder, group) in ladders.items()
        }

    def fits(self, state: PruningState, share: float) -> bool:
        """Tell whether what is left meets the budget of a point of the schedule."""
        meter = self.meter(state)
        return fits_limits(meter, self.limits(state, share))({})

    def check_reachable(
        self, groups: list[ChannelGroup], state: PruningState, share: float
    ) -> Fits:
        """Return the test of the budget, if the least widths pass it.

        Raises:
            BudgetError: If they do not; it names the least cost and what holds it.
        """
        meter, limits = self.meter(state), self.limits(state, share)
        least = {group.name: self.widths(group, state).start for group in groups}
        settings = f"min_keep ({self.min_keep}) or divisor ({self.divisor})"
        return reachable_fits(meter, limits, least, settings)

    def units(
        self,
        groups: list[ChannelGroup],
        scores: Mapping[str, Tensor],
        state: PruningState,
        share: float,
    ) -> dict[str, list[int]]:
        """Return the kept units of every group, counted in those that are left.

        Args:
            groups: What can be pruned, as it is now.
            scores: Of every unit by group, higher is kept.
            state: What is left so far.
            share: Of the way to the target, in [0, 1].

        Raises:
            BudgetError: If the budget cannot be reached.
            ValueError: If scores are not finite.
        """
        arrays = {group.name: _checked(group, scores[group.name]) for group in groups}
        fits = self.check_reachable(groups, state, share)
        widths = {group.name: self.widths(group, state) for group in groups}
        sizes = {group.name: state.sizes[group.name] for group in groups}
        counts = ranked_counts(self.ranking, arrays, sizes, widths, fits)
        check_low(self.meter(state), self.limits(state, share), counts)
        return {name: top_units(arrays[name], count) for name, count in counts.items()}


def _checked(group: ChannelGroup, scores: Tensor) -> np.ndarray:
    if scores.shape != (group.size,) or not bool(scores.isfinite().all()):
        raise ValueError(
            f"The scores of group '{group.name}' (shape {tuple(scores.shape)}) are not "
            f"{group.size} finite numbers, one for each unit. Look for weights or "
            "gradients that are nan or infinite."
        )
    return scores.detach().cpu().double().numpy()
