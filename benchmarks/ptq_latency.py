"""Latency of models that take turns, so that a busy machine disturbs all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

from torch import Tensor

#: From one image, ``(1, 3, H, W)``, to logits.
Logits = Callable[[Tensor], Tensor]
_WARM_UPS = 5


def times_in_turns(
    models: Mapping[str, Logits], image: Tensor, turns: int
) -> dict[str, list[float]]:
    """Return the milliseconds of each model, one number a turn.

    Args:
        models: By name.
        image: What they are run on.
        turns: Rounds in which each runs once.
    """
    for _ in range(_WARM_UPS):
        for model in models.values():
            model(image)
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(turns):
        for name, model in models.items():
            begin = time.perf_counter()
            model(image)
            times[name].append(1e3 * (time.perf_counter() - begin))
    return times


def ratio(times: Mapping[str, list[float]], first: str, second: str) -> float:
    """Return the median of the ratios within each turn.

    Example:
        >>> ratio({'a': [2.0, 9.0, 4.0], 'b': [1.0, 3.0, 4.0]}, 'a', 'b')
        2.0
    """
    pairs = zip(times[first], times[second], strict=True)
    return median(one / other for one, other in pairs)


def latencies(
    plain: Logits, small: Logits, image: Tensor, turns: int
) -> dict[str, float]:
    """Return both medians in milliseconds, and how many times as fast the second is."""
    times = times_in_turns({"float": plain, "int8": small}, image, turns)
    return {
        "float_ms": round(median(times["float"]), 2),
        "int8_ms": round(median(times["int8"]), 2),
        "speed_up": round(ratio(times, "float", "int8"), 3),
    }
