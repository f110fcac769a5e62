# NSGA-II (Deb et al., 2002, https://doi.org/10.1109/4235.996017), for spaces of
# choices: uniform crossover and mutation stand in place of the real-coded ones.
"""Evolution for several objectives at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from ...registry import TASK_UTILS
from .base import Searcher
from .draw import draw_children
from .nsga2 import crowded_order
from .objectives import Objective, checked_objectives


@final
@TASK_UTILS.register_module()
class ParetoSearcher(Searcher):
    """Look for all good compromises between objectives, by NSGA-II.

    Of the parents and children of a generation the best ``population`` survive, by
    non-dominated front and crowding distance; parents are winners of tournaments of two
    survivors. :meth:`best` returns the Subnets that no other dominates.

    Args:
        population: Survivors, and children of a generation.
        generations: With the first, which is drawn.
        crossover_prob: Probability that a child has two parents.
        mutation_prob: Probability with which each Choice of a child is changed.
        objectives: See :class:`Searcher`. None: the metric, and fewer MACs.
        seed: Of all chance.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        population: int = 50,
        generations: int = 20,
        crossover_prob: float = 0.9,
        mutation_prob: float = 0.1,
        *,
        objectives: Sequence[Objective] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(objectives=objectives, seed=seed)
        if min(population, generations) < 1:
            raise ValueError(
                f"population={population} and generations={generations} must be at "
                "least 1."
            )
        if not (0 <= crossover_prob <= 1 and 0 < mutation_prob <= 1):
            raise ValueError(
                f"crossover_prob={crossover_prob} must be in [0, 1] and "
                f"mutation_prob={mutation_prob} in (0, 1]."
            )
        self.population, self.generations = population, generations
        self.crossover_prob, self.mutation_prob = crossover_prob, mutation_prob
        self.total = population * generations
        self._survivors: list[int] = []
        self._num_selected = 0

    def start(self, *args: Any, **kwargs: Any) -> None:
        """Begin a search; arguments as of :meth:`Searcher.start`."""
        super().start(*args, **kwargs)
        self._survivors, self._num_selected = [], 0

    def objectives_for(self, metric: Objective) -> tuple[tuple[str, str], ...]:
        """Return what was given, or the metric and fewer MACs."""
        return self._given or checked_objectives([metric, ("macs", "min")])

    def _proposed(self) -> Sequence[dict[str, Any]]:
        if self.num_batches == self.generations:
            return []
        new = range(self._num_selected, len(self.history))
        pool = self._survivors + [i for i in new if self.history[i].score]
        order = crowded_order(self.points([self.history[i] for i in pool]))
        self._survivors = [pool[i] for i in order[: self.population]]
        self._num_selected = len(self.history)
        children: list[dict[str, Any]] = []
        if self._survivors:
            children = draw_children(
                self._child, self.population, self.space, self.limits, self._seen
            )
        return children + self._drawn(self.population - len(children))

    def _child(self) -> dict[str, Any]:
        values = self._winner()
        if self.rng.random() < self.crossover_prob:
            values = self.space.crossover(values, self._winner(), self.rng)
        return self.space.mutate(values, self.rng, self.mutation_prob)

    def _winner(self) -> Any:
        """Return the better of two survivors; they stand in their order."""
        place = int(self.rng.integers(len(self._survivors), size=2).min())
        return self.history[self._survivors[place]].choices

    def _own_state(self) -> dict[str, Any]:
        return {"survivors": self._survivors, "num_selected": self._num_selected}

    def _load_own_(self, data: dict[str, Any]) -> None:
        self._survivors = list(data["survivors"])
        self._num_selected = data["num_selected"]
