"""What a search looks for: scores and costs, more or less of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from ..space import Subnet

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


def check_known(
    subnet: Subnet, objectives: Sequence[tuple[str, str]], bounded: Iterable[str]
) -> None:
    """Return quietly if a Subnet has all objectives and costs, or no score.

    Args:
        subnet: That was evaluated.
        objectives: See :func:`checked_objectives`.
        bounded: Costs that the budget bounds.

    Raises:
        ValueError: If one is missing.
    """
    if not subnet.score:
        return
    uncounted = [name for name in bounded if name not in subnet.cost]
    if uncounted:
        raise ValueError(
            f"The budget bounds {uncounted}, but Subnets were evaluated that have the "
            f"costs {list(subnet.cost)} alone: their search was begun with another "
            "budget. Go on with that one, or search anew in another folder."
        )
    known = {**subnet.cost, **subnet.score}
    missing = [name for name, _ in objectives if name not in known]
    if missing:
        raise ValueError(
            f"The search looks for {missing}, but what is known of a Subnet is "
            f"{list(known)}. Set metric or objectives to one of those."
        )
