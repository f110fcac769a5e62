"""Subnets of one SearchSpace as short lists: values in its order, without names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..space import SearchSpace, Subnet


def values_row(space: SearchSpace, values: Mapping[str, Any]) -> list[Any]:
    """Return values in the order of the space, as plain data for JSON."""
    return [choice.to_data(values[name]) for name, choice in space.items()]


def values_from_row(space: SearchSpace, row: Sequence[Any]) -> dict[str, Any]:
    """Return the values that :func:`values_row` wrote."""
    pairs = zip(space.items(), row, strict=True)
    return {name: choice.from_data(data) for (name, choice), data in pairs}


def subnet_row(space: SearchSpace, subnet: Subnet) -> list[Any]:
    """Return a Subnet as ``[values, cost, score]``."""
    return [values_row(space, subnet.choices), dict(subnet.cost), dict(subnet.score)]


def subnet_from_row(space: SearchSpace, row: Sequence[Any]) -> Subnet:
    """Return the Subnet that :func:`subnet_row` wrote."""
    values, cost, score = row
    return Subnet(
        space.fingerprint(), values_from_row(space, values), cost=cost, score=score
    )


def check_state(data: Mapping[str, Any], kind: str, space: SearchSpace) -> None:
    """Return quietly if a searcher's state is of this kind and space.

    Raises:
        ValueError: If it is not.
    """
    for key, mine in (("type", kind), ("space", space.fingerprint())):
        if data[key] != mine:
            raise ValueError(
                f"The state of the search has {key} {data[key]!r}, this search "
                f"{mine!r}. Resume with the config that it was begun with, or search "
                "anew in another folder."
            )
