# The MACs of a convolution are bilinear in its kept inputs and outputs (DESIGN 4.5), so
# the cost of a choice is arithmetic: no copy of the model and no forward. Extents that
# many layers share (a residual stage's width) are computed once for all of them.
"""What any choice of kept channels costs, exactly, from numbers found once."""

from __future__ import annotations

import difflib
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from .cost import ModuleCost, _with_parents
from .product import PlainProduct, Product

_INT64_MAX = 2**63 - 1


@dataclass(frozen=True)
class TableCost:
    """Cost of one choice of kept units.

    Args:
        macs: Multiply-accumulates.
        params: Parameters.
    """

    macs: int
    params: int


class CostTable:
    """The cost of every choice of kept units of channel groups.

    Args:
        groups: Number of units of each group.
        macs: Operations, of any number for a module.
        params: Parameters, shared ones once.

    Raises:
        ValueError: If a product depends on a group that is not in ``groups``.

    Example:
        >>> out, image = (0, {'conv.out': 1}), (3, {})
        >>> macs = [Product.of('conv', 9 * 64, [out, image])]
        >>> params = [Product.of('conv', 9, [out, image]), Product.of('conv', 1, [out])]
        >>> table = CostTable({'conv.out': 8}, macs, params)
        >>> table.dense
        TableCost(macs=13824, params=224)
        >>> table.cost({'conv.out': 5})
        TableCost(macs=8640, params=140)
    """

    def __init__(
        self,
        groups: Mapping[str, int],
        macs: Sequence[Product],
        params: Sequence[Product],
    ) -> None:
        self.groups = dict(groups)
        self._index = {name: i for i, name in enumerate(self.groups)}
        self._sizes = list(self.groups.values())
        for product in (*macs, *params):
            self._check(product)
        extents: dict[tuple, int] = {(1, ()): 0}  # the first fills up short products
        rows: dict[tuple[int, ...], int] = {}
        # (module, row, factor) of every operation, then of every parameter
        self._parts = [
            [(p.module, *_placed(p, extents, rows)) for p in products]
            for products in (macs, params)
        ]
        # Beyond 64 bits numpy computes with Python's integers.
        fits = _largest(self.groups, (*macs, *params)) <= _INT64_MAX
        self._dtype = np.dtype(np.int64 if fits else object)
        self._const = np.array([const for const, _ in extents], self._dtype)
        self._per_unit = np.zeros((len(extents), len(self.groups)), self._dtype)
        for row, (_, per_unit) in enumerate(extents):
            for name, count in per_unit:
                self._per_unit[row, self._index[name]] = count
        longest = max((len(row) for row in rows), default=0) or 1
        padded = [row + (0,) * (longest - len(row)) for row in rows]
        self._dims = np.array(padded, np.intp).reshape(-1, longest).T.copy()
        self._factors = np.zeros((2, len(rows)), self._dtype)
        for total, parts in zip(self._factors, self._parts, strict=True):
            for _, row, factor in parts:
                total[row] += factor
        self.dense = self.cost({})

    @classmethod
    def of(
        cls,
        groups: Mapping[str, int],
        macs: Iterable[PlainProduct],
        params: Iterable[PlainProduct],
    ) -> CostTable:
        """Make a table from plain ``(module, factor, dims)``, see ``Product.of``."""
        products = ([Product.of(*term) for term in terms] for terms in (macs, params))
        return cls(groups, *products)

    def cost(self, kept: Mapping[str, int]) -> TableCost:
        """Return the cost when each group keeps this many units.

        Args:
            kept: Number of units by group, from 0 to the group's size; a group that is
                missing keeps all.

        Raises:
            ValueError: If a group is unknown or cannot keep so many.
        """
        values = self._values(self._extents(self._counts(kept)))
        macs, params = (self._factors @ values).tolist()
        return TableCost(macs, params)

    def by_module(self, kept: Mapping[str, int]) -> dict[str, ModuleCost]:
        """Return the cost of every module with what is inside it; ``''`` is the model.

        Args:
            kept: As for :meth:`cost`.
        """
        values = self._values(self._extents(self._counts(kept))).tolist()
        totals = []
        for parts in self._parts:
            own: Counter[str] = Counter({"": 0})
            for module, row, factor in parts:
                own[module] += factor * values[row]
            totals.append(_with_parents(own))
        macs, params = totals
        names = sorted({*macs, *params})
        return {name: ModuleCost(macs[name], params[name]) for name in names}

    def savings(self, kept: Mapping[str, int]) -> dict[str, TableCost]:
        """Return what dropping one more unit of each group saves.

        Args:
            kept: As for :meth:`cost`. A group that keeps nothing has nothing to save.
        """
        counts = self._counts(kept)
        extents = self._extents(counts)
        now = self._factors @ self._values(extents)
        # one column for each group that loses a unit
        fewer = self._values(extents[:, None] - self._per_unit)
        saved = (now[:, None] - self._factors @ fewer) * (counts > 0)
        columns = zip(self.groups, *saved.tolist(), strict=True)
        return {name: TableCost(macs, params) for name, macs, params in columns}

    def minimum(self, min_kept: int | Mapping[str, int]) -> TableCost:
        """Return the least cost when each group keeps at least this many units.

        Args:
            min_kept: For all groups (smaller ones keep all), or by group as in
                :meth:`cost`.
        """
        if not isinstance(min_kept, Mapping):
            least = operator.index(min_kept)
            min_kept = {name: min(least, size) for name, size in self.groups.items()}
        return self.cost(min_kept)

    def _counts(self, kept: Mapping[str, int]) -> np.ndarray:
        counts = self._sizes.copy()
        for name, count in kept.items():
            place = self._index.get(name)
            if place is None:
                raise ValueError(f"Unknown group '{name}'. {self._known(name)}")
            count = operator.index(count)
            if not 0 <= count <= self._sizes[place]:
                raise ValueError(
                    f"Group '{name}' cannot keep {count} units: it has "
                    f"{self._sizes[place]}."
                )
            counts[place] = count
        return np.array(counts, self._dtype)

    def _extents(self, counts: np.ndarray) -> np.ndarray:
        return self._const + self._per_unit @ counts

    def _values(self, extents: np.ndarray) -> np.ndarray:
        """Multiply extents along the first axis into the value of each product."""
        values = extents[self._dims[0]]
        for dims in self._dims[1:]:
            values = values * extents[dims]
        return values

    def _check(self, product: Product) -> None:
        for name in (name for extent in product.dims for name in extent.per_unit):
            if name not in self._index:
                raise ValueError(
                    f"A product of '{product.module}' depends on group '{name}', which "
                    f"the table does not have. {self._known(name)}"
                )

    def _known(self, name: str) -> str:
        near = difflib.get_close_matches(name, list(self.groups), n=3)
        names = near or list(self.groups)[:3]
        return f"The table has {len(self.groups)} groups, such as {names}."


def _placed(
    product: Product, extents: dict[tuple, int], rows: dict[tuple[int, ...], int]
) -> tuple[int, int]:
    """Give a product its row and the factor left when constant extents are folded."""
    factor, row = product.factor, []
    for extent in product.dims:
        per_unit = tuple(sorted((k, n) for k, n in extent.per_unit.items() if n))
        if per_unit:
            key = (extent.const, per_unit)
            row.append(extents.setdefault(key, len(extents)))
        else:
            factor *= extent.const
    return rows.setdefault(tuple(sorted(row)), len(rows)), factor


def _largest(groups: Mapping[str, int], products: Iterable[Product]) -> int:
    """Return a number that no sum or product of the table exceeds."""
    total = 1
    for product in products:
        sizes = [max(1, extent.size(groups)) for extent in product.dims]
        total += max(1, product.factor) * prod(sizes)
    return total
