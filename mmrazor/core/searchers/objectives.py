"""What a search looks for: scores and costs, more or less of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Objective: TypeAlias = "str | Sequence[str]"


def checked_objectives(given: Sequence[Objective]) -> tuple[tuple[str, str], ...]:
    """Return objectives as pairs of a name and ``max`` or ``min``.

    Raises:
        ValueError: If one is neither a name nor such a pair, or one comes twice.

    Example:
        >>> checked_objectives(['accuracy/top1', ('macs', 'min')])
        (('accuracy/top1', 'max'), ('macs', 'min'))
    """
    pairs = [(one, "max") if isinstance(one, str) else tuple(one) for one in given]
    good = [p for p in pairs if len(p) == 2 and p[1] in ("max", "min")]
    if pairs and len({str(p[0]) for p in good}) == len(pairs):
        return tuple((str(name), str(way)) for name, way in good)
    raise ValueError(
        f"objectives={given!r} must be one or more different names of scores or costs, "
        "such as 'accuracy/top1', or pairs of a name and 'max' or 'min'."
    )
