# Ask/tell as in Nevergrad and Optuna: whoever evaluates owns the loop, so that one
# searcher serves a process, many ranks, or a test with a toy function.
"""Searcher: asks a SearchSpace for Subnets and is told what they score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..space import SearchSpace, Subnet
from .draw import draw_new
from .limits import CostLimits
from .nsga2 import crowded_order, non_dominated_fronts
from .objectives import Objective, check_known, checked_objectives
from .rows import check_state, subnet_from_row, subnet_row, values_from_row, values_row


class Searcher(ABC):
    """Proposes Subnets in batches and learns from their scores.

    A batch depends on what was told of the batches before it and on nothing else: not
    on the order of tells, nor on how many are evaluated at a time.

    Args:
        objectives: What to look for, each a score or a cost: a name, or ``(name,
            'min')`` for less is better. None: the metric of the search.
        seed: Of all chance.

    Example:
        >>> from mmrazor.core.searchers import RandomSearcher
        >>> from mmrazor.core.space import OneOf
        >>> searcher = RandomSearcher(3)
        >>> searcher.start(SearchSpace([OneOf('width', [1, 2, 3])]), metric='acc')
        >>> while subnet := searcher.ask():
        ...     searcher.tell(subnet, {'acc': float(subnet.choices['width'])})
        >>> searcher.best()[0].choices
        {'width': 3}
    """

    #: Evaluations at most, for the time left; None if unknown.
    total: int | None = None

    def __init__(
        self, *, objectives: Sequence[Objective] | None = None, seed: int = 0
    ) -> None:
        self.seed = seed
        self._given = None if objectives is None else checked_objectives(objectives)

    def start(
        self,
        space: SearchSpace,
        limits: CostLimits | None = None,
        metric: Objective = "score",
        work_dir: str | Path = ".",
    ) -> None:
        """Begin a search.

        Args:
            space: What to search.
            limits: What Subnets may cost.
            metric: Objective where the searcher was given none.
            work_dir: Where a searcher that keeps files keeps them.
        """
        self.space, self.limits = space, limits or CostLimits()
        self.work_dir = Path(work_dir)
        self.objectives = self.objectives_for(metric)
        self.rng = np.random.default_rng(self.seed)
        self.num_batches = 0
        self.finished = False
        #: Subnets told, in the order asked; those that failed have no score.
        self.history: list[Subnet] = []
        self._seen: set[Hashable] = set()
        self._open_(())

    def objectives_for(self, metric: Objective) -> tuple[tuple[str, str], ...]:
        """Return what a search by this metric looks for."""
        return self._given or checked_objectives([metric])

    @abstractmethod
    def _proposed(self) -> Sequence[dict[str, Any]]:
        """Return the next batch of values; none ends the search."""

    def _found(self) -> list[Subnet]:
        """Return what :meth:`best` chooses from."""
        return self.history

    def _own_state(self) -> dict[str, Any]:
        """Return what else the next batch depends on, as plain data."""
        return {}

    def _load_own_(self, data: dict[str, Any]) -> None:  # noqa: B027 - may be nothing
        """Take what ``_own_state`` returned."""

    def ask(self) -> Subnet | None:
        """Return the next Subnet to evaluate, with its cost.

        Returns:
            None if there is none: for now if some are :meth:`pending`, else for good.
        """
        if not self._batch and not self.finished:
            self._open_(self._proposed())
            self.finished = not self._batch
            self.num_batches += not self.finished
        if self._num_asked == len(self._batch):
            return None
        self._num_asked += 1
        return self._subnet(self._batch[self._num_asked - 1])

    def tell(self, subnet: Subnet, score: Mapping[str, float] | None = None) -> None:
        """Learn what a Subnet scored.

        Args:
            subnet: As it was asked.
            score: What it scored, ``{}`` if it could not be evaluated. None: the
                subnet's own ``score``.

        Raises:
            ValueError: If it is not pending, or an objective is missing.
        """
        if score is not None:
            subnet = replace(subnet, score=score)
        self.check(subnet)
        self._told[self._position(subnet)] = subnet
        if len(self._told) == len(self._batch):
            self.history += [self._told[i] for i in range(len(self._batch))]
            self._open_(())

    def _position(self, subnet: Subnet) -> int:
        position = self._positions.get(self.space.key(subnet.choices), len(self._batch))
        if position >= self._num_asked or position in self._told:
            raise ValueError(
                f"{subnet} was told but is not pending: it was not asked for, or was "
                "told before. Tell each Subnet that ask() returned once."
            )
        return position

    def check(self, subnet: Subnet) -> None:
        """Return quietly if a Subnet has all that counts here, or no score.

        Raises:
            ValueError: If an objective is missing, or a cost that the budget bounds.
        """
        check_known(subnet, self.objectives, self.limits.limits)

    def pending(self) -> list[Subnet]:
        """Return the Subnets that were asked and not told, in order."""
        asked = range(self._num_asked)
        return [self._subnet(self._batch[i]) for i in asked if i not in self._told]

    def deaths(self, subnet: Subnet) -> int:
        """Return how many other workers are known to have died evaluating a Subnet."""
        return 0

    def points(self, subnets: Sequence[Subnet]) -> NDArray[np.float64]:
        """Return the objectives of Subnets that have scores, larger is better.

        Returns:
            Shape ``(subnets, objectives)``.
        """
        signs = [1.0 if way == "max" else -1.0 for _, way in self.objectives]
        names = [name for name, _ in self.objectives]
        known = [{**subnet.cost, **subnet.score} for subnet in subnets]
        rows = [[found[name] for name in names] for found in known]
        return np.array(rows, dtype=float).reshape(-1, len(names)) * signs

    def best(self, count: int = 1) -> list[Subnet]:
        """Return the best Subnets within the limits, best first.

        Args:
            count: Most of them. With several objectives those that no other one
                dominates are returned, all of them, by the first objective.
        """
        found = [s for s in self._found() if s.score and self.limits.fit(s.cost)]
        points = self.points(found)
        if len(self.objectives) == 1:
            return [found[i] for i in crowded_order(points)[:count]]
        front = non_dominated_fronts(points)[0] if found else []
        return [found[i] for i in sorted(front, key=lambda i: -points[i, 0])]

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next Subnets depend on, as plain data for JSON."""
        return {
            "type": type(self).__name__,
            "space": self.space.fingerprint(),
            "random": self.rng.bit_generator.state,
            "num_batches": self.num_batches,
            "history": [subnet_row(self.space, s) for s in self.history],
            "batch": [values_row(self.space, values) for values in self._batch],
            "num_asked": self._num_asked,
            "told": [[i, subnet_row(self.space, s)] for i, s in self._told.items()],
            "own": self._own_state(),
        }

    def load_state_(self, data: dict[str, Any]) -> None:
        """Go on where another one was that was started alike.

        Raises:
            ValueError: If the state is of another searcher or space, or lacks a cost
                or a score that counts here.
        """
        check_state(data, type(self).__name__, self.space)
        space = self.space
        self.rng.bit_generator.state = data["random"]
        self.num_batches = data["num_batches"]
        self.history = [subnet_from_row(space, row) for row in data["history"]]
        self._seen = {space.key(subnet.choices) for subnet in self.history}
        self._open_([values_from_row(space, row) for row in data["batch"]])
        self._num_asked = data["num_asked"]
        self._told.update((i, subnet_from_row(space, row)) for i, row in data["told"])
        for subnet in (*self.history, *self._told.values()):
            self.check(subnet)
        self._load_own_(data["own"])

    @final
    def _open_(self, batch: Sequence[dict[str, Any]]) -> None:
        self._batch = list(batch)
        self._num_asked = 0
        self._told: dict[int, Subnet] = {}
        keys = [self.space.key(values) for values in self._batch]
        self._positions = {key: i for i, key in enumerate(keys)}
        self._seen.update(keys)

    def _subnet(self, values: dict[str, Any]) -> Subnet:
        cost = self.limits.costs(values)
        return Subnet(self.space.fingerprint(), values, cost=cost)

    @final
    def _drawn(self, count: int) -> list[dict[str, Any]]:
        """Draw up to so many new values; fewer if no more are found.

        Raises:
            ValueError: If the very first cannot be found.
        """
        drawn: list[dict[str, Any]] = []
        seen = set(self._seen)
        while len(drawn) < count:
            values = draw_new(self.space, self.limits, self.rng, seen)
            if values is None:
                break
            seen.add(self.space.key(values))
            drawn.append(values)
        if count and not seen:
            raise self.limits.unmet()
        return drawn
