"""Draw values of a SearchSpace that are within limits and new."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable
from typing import Any

from numpy.random import Generator

from ..space import SearchSpace
from .limits import CostLimits

MOST_CHECKS = 20_000
_BLIND = 500
_STEPS = 20


def draw_new(
    space: SearchSpace,
    limits: CostLimits,
    rng: Generator,
    seen: Container[Hashable],
    most_checks: int = MOST_CHECKS,
) -> dict[str, Any] | None:
    """Draw values that are within limits and not seen, in a bounded number of checks.

    Values are drawn until some fit, each with the same probability. Where none of the
    first 500 does, drawn values are changed one Choice at a time, towards the limits:
    narrow budgets are met, with other probabilities.

    Args:
        space: Where from.
        limits: What must hold.
        rng: Source of chance.
        seen: Keys, as ``space.key`` returns them, that must not come again.
        most_checks: Limits are looked at so often at most.

    Returns:
        The values, or None if there was none within so many checks.

    Example:
        >>> import numpy as np
        >>> from mmrazor.core.space import OneOf
        >>> space = SearchSpace([OneOf('op', ['a', 'b'])])
        >>> draw_new(space, CostLimits(), np.random.default_rng(0), {('a',)})
        {'op': 'b'}
    """
    checks, met = 0, False
    while checks < most_checks:
        values = space.sample(rng)
        checks += 1
        fits = limits(values)
        if not fits and not met and checks > _BLIND:
            fits = walk_into(space, limits, rng, values)
            checks += _STEPS * len(space)
        met = met or (fits and checks <= _BLIND)
        if fits and space.key(values) not in seen:
            return values
    return None


def draw_children(
    make: Callable[[], dict[str, Any]],
    count: int,
    space: SearchSpace,
    limits: CostLimits,
    seen: set[Hashable],
    tries: int = 10,
) -> list[dict[str, Any]]:
    """Return up to ``count`` values made by ``make`` that fit and are new.

    Args:
        make: Makes values from parents, by chance.
        count: Wanted.
        space: Where they belong.
        limits: What must hold.
        seen: Keys that must not come again; those of what is returned are added.
        tries: For each that is wanted.
    """
    children: list[dict[str, Any]] = []
    for _ in range(tries * count):
        if len(children) == count:
            break
        values = make()
        key = space.key(values)
        if key not in seen and limits(values):
            seen.add(key)
            children.append(values)
    return children


def walk_into(
    space: SearchSpace, limits: CostLimits, rng: Generator, values: dict[str, Any]
) -> bool:
    """Change values in place, one Choice at a time and never away from the limits.

    Returns:
        Whether they fit now, after 20 changes at most for each Choice.
    """
    names, excess = list(space), limits.excess(values)
    for _ in range(_STEPS * len(names)):
        if excess == 0:
            return True
        name = names[int(rng.integers(len(names)))]
        before = values[name]
        values[name] = space[name].mutate(before, rng)
        changed = limits.excess(values)
        if changed <= excess:
            excess = changed
        else:
            values[name] = before
    return excess == 0
