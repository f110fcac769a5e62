# Two ways to turn scores into widths, as in Torch-Pruning (local and global pruning);
# ours search for the budget itself, with exact costs, instead of a pruning ratio.
# Every step asks `fits`, so any set of bounds on anything that grows with the kept
# units can be met.
"""How many units every group keeps: pure functions of scores and a test of the budget.

A *width* is a number of kept units that a group may have; the widths of a group are a
``range`` from its least to its largest.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from math import ceil, gcd
from typing import TypeAlias

import numpy as np

Counts: TypeAlias = "dict[str, int]"
Fits: TypeAlias = "Callable[[Counts], bool]"


def allowed_widths(
    name: str,
    size: int,
    divisor: int = 1,
    channels: int = 1,
    min_keep: int | float = 1,
) -> range:
    """Return the widths that a group may have.

    Args:
        name: The group, for errors.
        size: Its number of units.
        divisor: Kept channels are a multiple of this.
        channels: Channels of one unit.
        min_keep: Units to keep at least (a smaller group keeps all), or a fraction of
            the group in (0, 1] if it is a float.

    Raises:
        ValueError: If the divisor leaves the group no width.

    Example:
        >>> list(allowed_widths('conv.out', 50, divisor=16, min_keep=0.5))
        [32, 48]
    """
    step = divisor // gcd(divisor, channels)
    if divisor > size * channels:
        raise ValueError(
            f"divisor {divisor} is larger than group '{name}' ({size * channels} "
            "channels); take a smaller divisor, or leave the group out of the pruning."
        )
    if step > size:
        raise ValueError(
            f"divisor {divisor} takes a multiple of {step} units of group '{name}', "
            f"which has {size} units of {channels} channels; take a smaller divisor, "
            "or leave the group out of the pruning."
        )
    if isinstance(min_keep, float):  # 0.07 * 100 is a little above 7
        least = max(1, ceil(min_keep * size - 1e-9))
    else:
        least = min(min_keep, size)
    widths = range(ceil(least / step) * step, size + 1, step)
    if not widths:
        raise ValueError(
            f"divisor {divisor} and min_keep {min_keep} leave group '{name}' "
            f"({size * channels} channels) no width: {least} units are more than the "
            f"largest multiple, {size // step * step}. Take a smaller divisor or "
            "min_keep."
        )
    return widths


def floor_width(widths: range, count: float) -> int:
    """Return the largest width that is not above a count, or else the least.

    Example:
        >>> floor_width(range(8, 33, 8), 23), floor_width(range(8, 33, 8), 3)
        (16, 8)
    """
    steps = int(count - widths.start) // widths.step
    return widths[min(max(0, steps), len(widths) - 1)]


def local_counts(
    sizes: Mapping[str, int], widths: Mapping[str, range], fits: Fits
) -> Counts:
    """Keep the same share of every group, as large as the budget lets.

    The share is rounded down to a width. Then each group may take one more width, in
    the order of the shares that they would reach, if it fits: so shares differ by less
    than one step of their groups, but for those that their least width holds up.

    Args:
        sizes: Number of units by group.
        widths: Widths by group.
        fits: Whether counts meet the budget; if some do, so do all smaller ones. The
            least widths have to.

    Returns:
        Number of kept units by group.

    Example:
        >>> sizes = {'a': 10, 'b': 20}
        >>> widths = {name: range(1, size + 1) for name, size in sizes.items()}
        >>> local_counts(sizes, widths, lambda kept: sum(kept.values()) <= 16)
        {'a': 5, 'b': 11}
    """
    shares = {name: np.array(ladder) / sizes[name] for name, ladder in widths.items()}
    steps = np.unique(np.concatenate([np.zeros(1), *shares.values()]))

    def counts_at(position: int) -> Counts:
        below = {
            name: int(np.searchsorted(of_group, steps[position], side="right")) - 1
            for name, of_group in shares.items()
        }
        return {name: widths[name][max(0, i)] for name, i in below.items()}

    best = _last_fitting(len(steps) - 1, counts_at, fits)
    counts = counts_at(best)
    raised = []
    for place, (name, ladder) in enumerate(widths.items()):
        more = counts[name] + ladder.step
        if more in ladder and counts[name] / sizes[name] <= steps[best]:
            raised.append((more / sizes[name], place, name, more))
    for _, _, name, more in sorted(raised):
        if fits({**counts, name: more}):
            counts[name] = more
    return counts


def global_counts(
    scores: Mapping[str, np.ndarray], widths: Mapping[str, range], fits: Fits
) -> Counts:
    """Keep the units above one threshold for all groups, as low as the budget lets.

    Counts are rounded down to a width. Then, as long as something fits, the group whose
    next units have the highest mean score takes one more width.

    Args:
        scores: Of every unit, by group; of equal ones those of an earlier group go
            first.
        widths: As for :func:`local_counts`.
        fits: As for :func:`local_counts`.

    Returns:
        Number of kept units by group.

    Example:
        >>> scores = {'a': np.array([.9, .1, .8]), 'b': np.array([.2, .7])}
        >>> widths = {'a': range(1, 4), 'b': range(1, 3)}
        >>> global_counts(scores, widths, lambda kept: sum(kept.values()) <= 4)
        {'a': 2, 'b': 2}
    """
    descending = {name: np.sort(scores[name])[::-1] for name in widths}
    owners = np.repeat(np.arange(len(widths)), [len(s) for s in descending.values()])
    order = np.argsort(-np.concatenate(list(descending.values())), kind="stable")
    ranked = owners[order]

    def counts_at(kept: int) -> Counts:
        above = np.bincount(ranked[:kept], minlength=len(widths)).tolist()
        pairs = zip(widths.items(), above, strict=True)
        return {name: floor_width(ladder, count) for (name, ladder), count in pairs}

    counts = counts_at(_last_fitting(len(ranked), counts_at, fits))
    queue: list[tuple[float, int, str]] = []

    def offer(place: int, name: str) -> None:
        now, step = counts[name], widths[name].step
        if now + step in widths[name]:
            gain = float(descending[name][now : now + step].mean())
            heapq.heappush(queue, (-gain, place, name))

    for place, name in enumerate(widths):
        offer(place, name)
    while queue:
        _, place, name = heapq.heappop(queue)
        trial = {**counts, name: counts[name] + widths[name].step}
        # What does not fit now never will: costs only grow.
        if fits(trial):
            counts = trial
            offer(place, name)
    return counts


def ranked_counts(
    ranking: str,
    scores: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
    widths: Mapping[str, range],
    fits: Fits,
) -> Counts:
    """Return :func:`local_counts` or :func:`global_counts`.

    Args:
        ranking: ``local`` or ``global``.
        scores: Of every unit by group.
        sizes: What shares refer to, by group.
        widths: Allowed widths by group.
        fits: Tells whether counts meet the budget; the least widths have to.
    """
    if ranking == "local":
        return local_counts(sizes, widths, fits)
    return global_counts(scores, widths, fits)


def top_units(scores: np.ndarray, count: int) -> list[int]:
    """Return the units with the highest scores, ascending; of equal ones the first.

    Example:
        >>> top_units(np.array([.5, .9, .5, .1]), 2)
        [0, 1]
    """
    return np.sort(np.argsort(-scores, kind="stable")[:count]).tolist()


def _last_fitting(last: int, counts_at: Callable[[int], Counts], fits: Fits) -> int:
    """Return the last position in ``[0, last]`` that fits; the first one does."""
    low, high = 0, last + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(counts_at(middle)) else (low, middle)
    return low
