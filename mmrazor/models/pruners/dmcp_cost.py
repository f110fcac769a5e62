# DMCP (Guo et al., 2020, arXiv:2005.03354), section 3.3, has the expected FLOPs of a
# convolution as the product of the expected widths around it. That is exact for
# independent widths; where one group sits on both sides of a layer its square counts.
"""Expected costs of a model whose widths are random, exactly and with gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from ...core.graph.products import Extent, ProductTerm

#: Terms of a polynomial in the widths: the groups that are multiplied, by index, and
#: the factor. ``{(): 3, (0, 0): 2}`` is ``3 + 2 n_0^2``.
Polynomial: TypeAlias = "dict[tuple[int, ...], float]"


class ExpectedCost:
    """The expectation of a sum of products of widths of independent groups.

    Args:
        terms: As ``ChannelGraph.products`` gives them.
        groups: Groups with a random width, in the order of the moments.
        fixed: Widths of all others.

    Attributes:
        degree: Highest power of a width that occurs.

    Example:
        >>> square = ('conv', 9, ((0, {'a': 1}), (0, {'a': 1})))
        >>> cost = ExpectedCost([square], ['a'], {})
        >>> float(cost(torch.tensor([[2.], [5.]]).double()))  # E[n] = 2, E[n^2] = 5
        45.0
    """

    def __init__(
        self,
        terms: Iterable[ProductTerm],
        groups: Sequence[str],
        fixed: Mapping[str, int],
    ) -> None:
        place = {name: index for index, name in enumerate(groups)}
        rows: Counter[tuple[int, ...]] = Counter()
        known: dict[tuple, int] = {}
        for _, factor, dims in terms:
            polynomials = [_polynomial(dim, place, fixed) for dim in dims]
            parts = [tuple(sorted(part.items())) for part in _independent(polynomials)]
            row = tuple(sorted(known.setdefault(part, len(known)) for part in parts))
            rows[row] += factor
        monomials: dict[tuple[int, ...], int] = {}
        for part in known:
            for groups_of_term, _ in part:
                monomials.setdefault(groups_of_term, len(monomials))
        powers = [Counter(monomial) for monomial in monomials]
        self.degree = max((max(p.values(), default=1) for p in powers), default=1)
        count = len(groups)
        # indices into [1, E[n], E[n^2], ...]
        self._moments = _padded(
            [[1 + (p - 1) * count + g for g, p in one.items()] for one in powers]
        )
        self._factors = torch.zeros(len(known) + 1, len(monomials), dtype=torch.float64)
        for part, line in known.items():
            for groups_of_term, factor in part:
                self._factors[line + 1, monomials[groups_of_term]] = factor
        self._rows = _padded([[1 + line for line in row] for row in rows])
        self._totals = torch.tensor([float(n) for n in rows.values()]).double()

    def __call__(self, moments: Tensor) -> Tensor:
        """Return the expectation, a scalar.

        Args:
            moments: Expected powers of every width, shape ``(degree, G)`` or more rows,
                float64.
        """
        one = moments.new_ones(1)
        known = torch.cat([one, moments[: self.degree].flatten()])
        monomials = known[self._moments].prod(1)
        values = self._factors @ monomials
        values = torch.cat([one, values[1:]])  # the first fills up short rows
        return (values[self._rows].prod(1) * self._totals).sum()


def _polynomial(
    dim: Extent, place: Mapping[str, int], fixed: Mapping[str, int]
) -> Polynomial:
    const, per_unit = dim
    result: Polynomial = {(): float(const)}
    for name, count in per_unit.items():
        if name in place:
            result[(place[name],)] = float(count)
        else:
            result[()] += count * fixed[name]
    return {key: value for key, value in result.items() if value}


def _independent(factors: Sequence[Polynomial]) -> list[Polynomial]:
    """Multiply the factors that share a group, so that those left are independent."""
    parts: list[tuple[set[int], Polynomial]] = []
    for factor in factors:
        groups = {group for term in factor for group in term}
        apart = []
        for other_groups, other in parts:
            if groups & other_groups:
                groups, factor = groups | other_groups, _product(factor, other)
            else:
                apart.append((other_groups, other))
        parts = [*apart, (groups, factor)]
    return [factor for _, factor in parts]


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    result: Counter[tuple[int, ...]] = Counter()
    for groups, factor in a.items():
        for other_groups, other in b.items():
            result[tuple(sorted(groups + other_groups))] += factor * other  # type: ignore[assignment]
    return dict(result)


def _padded(lines: Sequence[Sequence[int]]) -> Tensor:
    longest = max((len(line) for line in lines), default=0) or 1
    full = [[*line, *[0] * (longest - len(line))] for line in lines]
    return torch.tensor(full, dtype=torch.long).view(-1, longest)


def cost_penalty(expected: Tensor, target: float, tolerance: float) -> Tensor:
    """Return how far an expected cost is from its target, on a logarithmic scale.

    The paper's ``log |E - T|`` (equation 10) up to a constant, which makes it zero at
    the edge of the tolerance; inside, it is zero.

    Args:
        expected: Scalar.
        target: Above 0.
        tolerance: Part of the target, above 0.

    Example:
        >>> cost_penalty(torch.tensor(104.), 100., 0.05).item()
        0.0
        >>> round(cost_penalty(torch.tensor(110.), 100., 0.05).item(), 4)  # log 2
        0.6931
    """
    return ((expected / target - 1).abs() / tolerance).clamp(min=1).log()
