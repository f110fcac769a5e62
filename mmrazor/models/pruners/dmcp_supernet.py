"""A model that runs at widths which Markov chains draw, or softly at all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from ...core.graph import ChannelGraph
from ...core.graph.narrow import Widths
from ...core.graph.swap import running_scaled
from .dmcp_chain import MarkovChains
from .dmcp_cost import ExpectedCost, cost_penalty
from .meter import Limits


class MarkovSupernet:
    """Runs a model, without changing a module of it, at any width of its chains.

    Args:
        graph: The model's channels; groups without a chain keep all.
        chains: The chains.
        limits: Lowest and highest cost by name, ``macs`` or ``params``.
    """

    def __init__(
        self, graph: ChannelGraph, chains: MarkovChains, limits: Limits
    ) -> None:
        self.graph, self.chains = graph, chains
        self._widths = Widths(graph)
        self._open = {group.name for group in graph.groups} & set(chains.names)
        self._readers = _reader_levels(graph, chains)
        self.targets = {name: high for name, (_, high) in limits.items()}
        fixed = {n: size for n, size in graph.sizes().items() if n not in self._open}
        names = [name for name in chains.names if name in self._open]
        self._columns = [chains.names.index(name) for name in names]
        terms = dict(zip(("macs", "params"), graph.products(), strict=True))
        self._costs = {
            name: ExpectedCost(terms[name], names, fixed) for name in self.targets
        }

    def at(self, counts: Mapping[str, int]) -> AbstractContextManager[None]:
        """Let the model run with the first units of every group.

        Args:
            counts: Units by group, as the chains draw them.
        """
        return self._widths.at({n: c for n, c in counts.items() if n in self._open})

    @contextmanager
    def softly(self, alphas: Tensor | None = None) -> Iterator[None]:
        """Let whatever reads a channel read it times the probability that it is kept.

        Args:
            alphas: In place of the chains' own, to take gradients with.
        """
        kept = self.chains.marginals(alphas)
        known = torch.cat([kept.new_ones(1), kept.flatten()])
        scales = {place: known[index] for place, index in self._readers.items()}
        with running_scaled(self.graph.model, scales):
            yield

    def expected(self, alphas: Tensor | None = None) -> dict[str, Tensor]:
        """Return the expected costs that are bounded, by name.

        Args:
            alphas: As for :meth:`softly`.
        """
        degree = max(cost.degree for cost in self._costs.values())
        moments = self.chains.moments(degree, alphas)[:, self._columns]
        return {name: cost(moments) for name, cost in self._costs.items()}

    def penalty(self, alphas: Tensor | None, tolerance: float) -> Tensor:
        """Return the sum of :func:`~.dmcp_cost.cost_penalty` over the bounds."""
        costs = self.expected(alphas)
        parts = [
            cost_penalty(cost, self.targets[name], tolerance)
            for name, cost in costs.items()
        ]
        return torch.stack(parts).sum()


def _reader_levels(
    graph: ChannelGraph, chains: MarkovChains
) -> dict[tuple[str, int], Tensor]:
    """Return, for each axis that reads channels, the level that every index is of.

    Counted are the levels of all groups in order, from 1; 0 is of no group.
    """
    indices: dict[tuple[str, int], Tensor] = {}
    levels = chains.widths.shape[1]
    for group in graph.groups:
        row = chains.names.index(group.name)
        units = torch.arange(group.size)
        level = torch.searchsorted(chains.widths[row], units, right=True)
        for slot in group.slots:
            if slot.role != "in":
                continue
            size = group.tensor(slot).shape[slot.axis]
            line = indices.setdefault(
                (slot.name, slot.axis), torch.zeros(size, dtype=torch.long)
            )
            line[slot.indices] = (1 + row * levels + level)[:, None]
    return indices
