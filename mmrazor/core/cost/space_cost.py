# Once-for-All's lookup tables and MMRazor's estimator either approximate or run a
# forward for each candidate. What an operation costs depends on few Choices, so the
# exact cost of a Subnet is a sum over small tables.
"""What any values of a search space cost, exactly, by arithmetic."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from ..names import is_inside
from .cost import ModuleCost
from .cost_table import TableCost
from .elimination import Table, joined, least_sum

Costs = Mapping[tuple[Any, ...], ModuleCost]


@dataclass(frozen=True)
class CostTerm:
    """What one module costs, by the few Choices that it depends on.

    Args:
        module: Path of the module.
        names: Choices that it depends on: its own, and those that decide whether it is
            there at all.
        costs: Cost by their values, in the order of ``names``.
    """

    module: str
    names: tuple[str, ...]
    costs: Costs = field(repr=False)


class SpaceCost:
    """The cost of any values of a search space.

    Args:
        base: Cost of everything that no Choice changes.
        terms: What each module that depends on Choices adds to it.
        base_by_module: Part of ``base`` in each module with what is inside it; for
            :meth:`restricted_to`.
        uncounted: How often each operation ran that may multiply and accumulate but has
            no formula, see :class:`~mmrazor.core.cost.Cost`.

    Raises:
        ValueError: If a term lacks the cost of some values.

    Example:
        >>> costs = {('k3',): ModuleCost(900, 9), ('k5',): ModuleCost(2500, 25)}
        >>> term = CostTerm('layer1', ('layer1.op',), costs)
        >>> cost = SpaceCost(ModuleCost(100, 1), [term])
        >>> cost.cost({'layer1.op': 'k5'})
        TableCost(macs=2600, params=26)
        >>> cost.range()
        {'macs': (1000, 2600), 'params': (10, 26)}
    """

    def __init__(
        self,
        base: ModuleCost,
        terms: Sequence[CostTerm],
        base_by_module: Mapping[str, ModuleCost] | None = None,
        uncounted: Mapping[str, int] | None = None,
    ) -> None:
        self.base = base
        self.terms = tuple(terms)
        self.uncounted = dict(uncounted or {})
        self._base_by_module = dict(base_by_module or {})
        _check_complete(self.terms)
        # Terms that depend on the same Choices are one look-up.
        merged: dict[tuple[str, ...], dict[tuple[Any, ...], tuple[int, int]]] = {}
        for term in terms:
            table = merged.setdefault(term.names, dict.fromkeys(term.costs, (0, 0)))
            for key, one in term.costs.items():
                macs, params = table[key]
                table[key] = macs + one.macs, params + one.params
        self._tables = list(merged.items())
        self._single = [(n[0], t) for n, t in self._tables if len(n) == 1]
        self._several = [(n, t) for n, t in self._tables if len(n) != 1]

    def cost(self, values: Mapping[str, Any]) -> TableCost:
        """Return the cost of one value for every Choice.

        Args:
            values: By name of the Choice; those that change no cost may be missing.

        Raises:
            ValueError: If a Choice is missing or has no such value.
        """
        macs, params = self.base.macs, self.base.params
        try:
            for name, table in self._single:
                own_macs, own_params = table[(values[name],)]
                macs += own_macs
                params += own_params
            for names, table in self._several:
                own_macs, own_params = table[tuple(values[name] for name in names)]
                macs += own_macs
                params += own_params
        except (KeyError, TypeError) as err:
            raise ValueError(self._fault(values)) from err
        return TableCost(macs, params)

    def range(self) -> dict[str, tuple[int, int]]:
        """Return the least and the greatest cost in the space, of MACs and parameters.

        They are reached by some values if :attr:`range_is_exact`, and bounds if not:
        no values cost less or more.
        """
        found = {}
        for place, key in enumerate(("macs", "params")):
            base = getattr(self.base, key)
            least, _ = least_sum(self._tables_of(place, 1))
            most, _ = least_sum(self._tables_of(place, -1))
            found[key] = (base + least, base - most)
        return found

    @property
    def range_is_exact(self) -> bool:
        """Whether :meth:`range` is reached, not only a bound."""
        return least_sum(self._tables_of(0, 1))[1]

    def restricted_to(self, prefix: str) -> SpaceCost:
        """Return the cost of one module alone, with everything inside it.

        Args:
            prefix: Path of the module, such as ``backbone``.

        Raises:
            ValueError: If there is no such module.
        """
        if not prefix:
            return self
        if prefix not in self._base_by_module:
            near = difflib.get_close_matches(prefix, self._base_by_module, n=3)
            known = near or [n for n in self._base_by_module if n and "." not in n]
            raise ValueError(
                f"There is no module '{prefix}' whose cost is known. Near names: "
                f"{known}."
            )
        inside = {
            name: cost
            for name, cost in self._base_by_module.items()
            if is_inside(name, prefix)
        }
        terms = [term for term in self.terms if is_inside(term.module, prefix)]
        return SpaceCost(inside[prefix], terms, inside, self.uncounted)

    def _tables_of(self, place: int, sign: int) -> list[Table]:
        return [
            (names, {key: sign * pair[place] for key, pair in table.items()})
            for names, table in self._tables
        ]

    def _fault(self, values: Mapping[str, Any]) -> str:
        names = joined(names for names, _ in self._tables)
        missing = [name for name in names if name not in values]
        if missing:
            return f"The values lack the choices {missing}, on which the cost depends."
        for names, table in self._tables:
            key = tuple(values[name] for name in names)
            if key not in list(table):  # lists cannot be looked up
                return (
                    f"The cost of {dict(zip(names, key, strict=True))} is not known. "
                    f"{list(names)} may be one of {list(table)[:8]}."
                )
        raise AssertionError("all values have a cost")


def _check_complete(terms: Iterable[CostTerm]) -> None:
    """Check that each term has a cost for all values of its Choices."""
    domains: dict[str, set[Any]] = {}
    for term in terms:
        for key in term.costs:
            for name, value in zip(term.names, key, strict=True):
                domains.setdefault(name, set()).add(value)
    for term in terms:
        wanted = prod(len(domains[name]) for name in term.names)
        if len(term.costs) != wanted:
            raise ValueError(
                f"The term of '{term.module}' has {len(term.costs)} costs, and there "
                f"are {wanted} values of {list(term.names)}. Give the cost of each."
            )
