# Variable elimination (Bertele and Brioschi, 1972): the dynamic programming by which a
# sum of small tables is minimised exactly, one variable after the other.
"""The least sum of tables that share variables."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import prod
from typing import Any

Table = tuple[tuple[str, ...], dict[tuple[Any, ...], int]]

_MOST_ENTRIES = 200_000


def least_sum(
    tables: Iterable[Table], most_entries: int = _MOST_ENTRIES
) -> tuple[int, bool]:
    """Return the least sum of one entry of each table, values agreeing by name.

    Args:
        tables: Names of the variables and a number by their values. Variables take the
            values that stand in a table.
        most_entries: Size up to which tables are joined.

    Returns:
        The sum, and whether it is reached. If not, tables that would need a larger join
        were minimised apart, and the sum is a lower bound.

    Example:
        >>> first = (('a', 'b'), {(0, 0): 5, (0, 1): 1, (1, 0): 2, (1, 1): 9})
        >>> second = (('b',), {(0,): 0, (1,): 3})
        >>> least_sum([first, second])
        (2, True)
    """
    tables = list(tables)
    domains: dict[str, list[Any]] = {}
    for names, table in tables:
        for place, name in enumerate(names):
            domains.setdefault(name, list(dict.fromkeys(key[place] for key in table)))
    while domains:
        scopes = {name: _scope(tables, name) for name in domains}
        sizes = {name: prod(len(domains[n]) for n in s) for name, s in scopes.items()}
        name = min(sizes, key=sizes.__getitem__)
        if sizes[name] > most_entries:
            return sum(min(table.values()) for _, table in tables), False
        concerned = [table for table in tables if name in table[0]]
        tables = [table for table in tables if name not in table[0]]
        rest = tuple(n for n in scopes[name] if n != name)
        tables.append((rest, _without(name, rest, concerned, domains)))
        del domains[name]
    return sum(min(table.values()) for _, table in tables), True


def joined(scopes: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return all names, each once, in order."""
    return tuple(dict.fromkeys(name for scope in scopes for name in scope))


def _scope(tables: list[Table], name: str) -> tuple[str, ...]:
    return joined(names for names, _ in tables if name in names)


def _without(
    name: str,
    rest: tuple[str, ...],
    tables: list[Table],
    domains: dict[str, list[Any]],
) -> dict[tuple[Any, ...], int]:
    """Return the least sum over the values of one variable, by those of the rest."""
    found = {}
    for key in product(*(domains[n] for n in rest)):
        given = dict(zip(rest, key, strict=True))
        sums = []
        for value in domains[name]:
            given[name] = value
            parts = (t[tuple(given[n] for n in names)] for names, t in tables)
            sums.append(sum(parts))
        found[key] = min(sums)
    return found
