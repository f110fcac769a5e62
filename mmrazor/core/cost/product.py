"""A count that depends on how many units channel groups keep, as plain data."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

PlainExtent: TypeAlias = "tuple[int, Mapping[str, int]]"
PlainProduct: TypeAlias = "tuple[str, int, Iterable[PlainExtent]]"


@dataclass(frozen=True)
class Extent:
    """Size of one dimension: ``const + sum(per_unit[group] * kept[group])``.

    Args:
        const: Indices that no group can drop, at least 0.
        per_unit: Indices that each kept unit of a group has, at least 0.

    Raises:
        ValueError: If a number is negative.

    Example:
        >>> Extent(3, {'conv.out': 2}).size({'conv.out': 10})
        23
    """

    const: int = 0
    per_unit: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, count in (("const", self.const), *self.per_unit.items()):
            if operator.index(count) < 0:
                raise ValueError(f"An extent has {count} indices for '{what}'.")

    def size(self, kept: Mapping[str, int]) -> int:
        """Return the size for these numbers of kept units."""
        return self.const + sum(n * kept[name] for name, n in self.per_unit.items())


@dataclass(frozen=True)
class Product:
    """MACs of one operation, or elements of one parameter: a factor times extents.

    Args:
        module: Name of the module that the operation ran in or the parameter is of.
        factor: Everything that does not depend on kept channels, at least 0.
        dims: The extents to multiply.

    Raises:
        ValueError: If the factor is negative.

    Example:
        >>> conv = Product.of('conv', 9 * 14 * 14, [(3, {}), (0, {'conv.out': 1})])
        >>> conv.value({'conv.out': 4})
        21168
    """

    module: str
    factor: int
    dims: tuple[Extent, ...]

    def __post_init__(self) -> None:
        if operator.index(self.factor) < 0:
            raise ValueError(f"Product of '{self.module}' has factor {self.factor}.")

    @classmethod
    def of(cls, module: str, factor: int, dims: Iterable[PlainExtent]) -> Product:
        """Make a product from plain pairs of ``const`` and ``per_unit``."""
        extents = (Extent(const, dict(per_unit)) for const, per_unit in dims)
        return cls(module, factor, tuple(extents))

    def value(self, kept: Mapping[str, int]) -> int:
        """Return the value for these numbers of kept units, group by group."""
        return self.factor * prod(extent.size(kept) for extent in self.dims)
