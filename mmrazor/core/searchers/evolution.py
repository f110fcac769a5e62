# Single Path One-Shot Neural Architecture Search with Uniform Sampling (Guo et al.,
# 2020, arXiv:1904.00420), section 3.4 and algorithm 1.
"""Evolution over the Subnets of a supernet, as in SPOS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from ...registry import TASK_UTILS
from .base import Searcher
from .draw import draw_children
from .objectives import Objective


@final
@TASK_UTILS.register_module()
class EvolutionSearcher(Searcher):
    """Breed from the best Subnets of all generations so far.

    The first generation is drawn. Each later one has ``mutation`` children of one
    parent and ``crossover`` children of two, parents drawn from the ``top_k`` best;
    what is missing to ``population``, because of the numbers or because no more new
    children within the limits are found, is drawn.

    Args:
        population: Subnets of a generation.
        generations: With the first; ``population * generations`` Subnets in all.
        top_k: Parents.
        mutation: Children by mutation.
        crossover: Children by crossover.
        mutation_prob: Probability with which a mutation changes each Choice.
        objectives: See :class:`Searcher`; with several see :class:`ParetoSearcher`.
        seed: Of all chance.

    Raises:
        ValueError: If numbers do not fit together.
    """

    def __init__(
        self,
        population: int = 50,
        generations: int = 20,
        top_k: int = 10,
        mutation: int = 25,
        crossover: int = 25,
        mutation_prob: float = 0.1,
        *,
        objectives: Sequence[Objective] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(objectives=objectives, seed=seed)
        if min(population, generations, top_k) < 1 or min(mutation, crossover) < 0:
            raise ValueError(
                f"population={population}, generations={generations} and "
                f"top_k={top_k} must be at least 1, mutation={mutation} and "
                f"crossover={crossover} at least 0."
            )
        if mutation + crossover > population:
            raise ValueError(
                f"mutation={mutation} and crossover={crossover} make more children "
                f"than the population of {population}. Lower them, or raise that."
            )
        if not 0 < mutation_prob <= 1:
            raise ValueError(f"mutation_prob={mutation_prob} must be in (0, 1].")
        self.population, self.generations, self.top_k = population, generations, top_k
        self.mutation, self.crossover = mutation, crossover
        self.mutation_prob = mutation_prob
        self.total = population * generations

    def _proposed(self) -> Sequence[dict[str, Any]]:
        if self.num_batches == self.generations:
            return []
        parents = [subnet.choices for subnet in self.best(self.top_k)]
        children: list[dict[str, Any]] = []
        if parents:
            children += self._bred(lambda: self._mutant(parents), self.mutation)
            children += self._bred(lambda: self._mixed(parents), self.crossover)
        return children + self._drawn(self.population - len(children))

    def _bred(self, make: Any, count: int) -> list[dict[str, Any]]:
        return draw_children(make, count, self.space, self.limits, self._seen)

    def _mutant(self, parents: Sequence[Any]) -> dict[str, Any]:
        parent = parents[int(self.rng.integers(len(parents)))]
        return self.space.mutate(parent, self.rng, self.mutation_prob)

    def _mixed(self, parents: Sequence[Any]) -> dict[str, Any]:
        first, second = self.rng.integers(len(parents), size=2)
        return self.space.crossover(parents[first], parents[second], self.rng)
