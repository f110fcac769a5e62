# DARTS (arXiv:1806.09055), section 2.4: each node keeps the strongest two of the edges
# that come in, by the probability of the best operation on each that is not zero.
"""Which of the edges that come into a node are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, final

import torch
from torch import Tensor, nn

from ...registry import MODELS
from .mutable import Mutable
from .mutable_op import AlphaOP, Candidate, built, new_alpha


@final
@MODELS.register_module()
class DiffChoiceRoute(Mutable):
    """The sum over edges into a node; a fixed number of them is kept in the end.

    Its Choice ``inputs`` has texts as values: ``'0+2'`` keeps the first and the third
    edge. While it trains, all edges run.

    Args:
        edges: A module or config for each input, in order.
        num_chosen: Edges to keep.
        weighted: Weigh the edges by the softmax over an ``alpha`` of its own, by which
            they are ranked too. Otherwise they are added up, and ranked by the
            ``strength()`` of the operation on each, as in DARTS.
        name: Name of the Choice; without it the place gives the name.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If the number is none of the edges, or they cannot be ranked.

    Example:
        >>> edges = [nn.Identity(), nn.ReLU(), nn.Tanh()]
        >>> node = DiffChoiceRoute(edges, num_chosen=2, weighted=True, name='node')
        >>> node.choices()[0].values
        ('0+1', '0+2', '1+2')
    """

    def __init__(
        self,
        edges: Sequence[Candidate],
        num_chosen: int,
        weighted: bool = False,
        name: str | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 1 <= num_chosen <= len(edges):
            raise ValueError(
                f"num_chosen={num_chosen} must be from 1 to the number of edges, "
                f"{len(edges)}."
            )
        modules = {str(i): built(edge) for i, edge in enumerate(edges)}
        self.edges = nn.ModuleDict(modules)
        unranked = [k for k, m in modules.items() if not isinstance(m, AlphaOP)]
        if unranked and not weighted:
            raise ValueError(
                f"The edges {unranked} have no strength to be ranked by. Make them "
                "DiffMutableOP, or take weighted=True."
            )
        self.alpha = new_alpha(len(modules)) if weighted else None
        kept = combinations(modules, num_chosen)
        self._add_choice("inputs", ["+".join(keys) for keys in kept], name)
        self._num_chosen = num_chosen

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the sum over all edges.

        Args:
            inputs: One for each edge, in order.
        """
        pairs = zip(self.edges.values(), inputs, strict=True)
        outputs = [edge(value) for edge, value in pairs]
        if self.alpha is not None:
            weights = torch.softmax(self.alpha, 0)
            outputs = [w * out for w, out in zip(weights, outputs, strict=True)]
        total: Tensor = sum(outputs[1:], outputs[0])
        return total

    def fix(self) -> nn.Module:
        """Return the sum over the edges now selected, unweighted."""
        kept = self._roles["inputs"].selected.split("+")
        return KeptEdges({key: self.edges[key] for key in kept})

    def derived(self) -> dict[str, Any]:
        """Return the strongest edges."""
        strengths = self._strengths()
        best = sorted(strengths, key=strengths.__getitem__, reverse=True)
        kept = sorted(best[: self._num_chosen], key=int)
        return {self._roles["inputs"].name: "+".join(kept)}

    def tie_(self, other: Mutable) -> None:
        """Share decision and ``alpha`` of another one.

        Raises:
            ValueError: If the two have different edges or keep another number.
        """
        super().tie_(other)
        assert isinstance(other, DiffChoiceRoute)
        self.alpha = other.alpha

    def _strengths(self) -> dict[str, float]:
        if self.alpha is not None:
            return dict(zip(self.edges, self.alpha.tolist(), strict=True))
        edges: dict[str, Any] = dict(self.edges.items())
        return {key: edge.strength() for key, edge in edges.items()}


@final
class KeptEdges(nn.Module):
    """The sum over some of the inputs, each after its own module.

    Args:
        edges: Modules by the position of their input, as text.
    """

    def __init__(self, edges: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(edges)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the sum; inputs without a module are not read."""
        outputs = [edge(inputs[int(key)]) for key, edge in self.edges.items()]
        total: Tensor = sum(outputs[1:], outputs[0])
        return total
