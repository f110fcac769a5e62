"""Say that a bound on MACs rests on operations that nobody counts."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mmengine.logging import print_log

_SHOWN = 6


def warn_of_uncounted(uncounted: Mapping[str, int], model: str) -> None:
    """Warn that the MACs which a budget bounds leave operations out, with their names.

    Args:
        uncounted: How often each ran, see :class:`~mmrazor.core.cost.Cost`; nothing is
            said if it is empty.
        model: What runs them.
    """
    if not uncounted:
        return
    names = sorted(uncounted, key=lambda name: (-uncounted[name], name))
    shown = ", ".join(f"{name} ({uncounted[name]}x)" for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    print_log(
        f"The MACs of {model} leave out {shown}{more}, which may multiply but have no "
        "formula: a share of the MACs is not a share of all that it computes. Bound "
        "params or latency_ms as well, or compare latencies afterwards.",
        logger="current",
        level=logging.WARNING,
    )
