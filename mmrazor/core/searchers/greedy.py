# AutoSlim (Yu and Huang, 2019, arXiv:1903.11728), section 3.3: "greedy slimming".
"""Greedy slimming, from the costliest Subnet down into the budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from ...registry import TASK_UTILS
from ..space import OneOf, Subnet
from .base import Searcher
from .objectives import Objective


@final
@TASK_UTILS.register_module()
class GreedySearcher(Searcher):
    """Step down where it hurts least, until the budget is met.

    It begins with the costliest value of every Choice. A batch is one step: each Choice
    alone takes its next cheaper value, and the best of these Subnets is where the next
    step begins. On the way Subnets are evaluated that exceed the budget; :meth:`best`
    returns none of them. Without a budget it goes down to the cheapest.

    Args:
        cost: Which cost is stepped down. None: the first that the budget bounds, or
            ``macs``.
        objectives: See :class:`Searcher`; the first one decides.
        seed: Not used: there is no chance in it.
    """

    def __init__(
        self,
        cost: str | None = None,
        *,
        objectives: Sequence[Objective] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(objectives=objectives, seed=seed)
        self.cost = cost

    def start(self, *args: Any, **kwargs: Any) -> None:
        """Begin a search; arguments as of :meth:`Searcher.start`.

        Raises:
            ValueError: If a Choice has no list of values, or the cost is not counted.
        """
        super().start(*args, **kwargs)
        self._name = self.cost or next(iter(self.limits.limits), "macs")
        first = {name: choice.selected for name, choice in self.space.items()}
        if self._name not in self.limits.costs(first):
            raise ValueError(
                f"GreedySearcher steps down {self._name!r}, but the costs that are "
                f"counted are {list(self.limits.costs(first))}. Pass what counts it, "
                "or set cost to one of those."
            )
        self._ladders = {name: self._ladder(first, name) for name in self.space}
        self._current = {name: steps[0] for name, steps in self._ladders.items()}
        self._num_last = 0

    def _proposed(self) -> Sequence[dict[str, Any]]:
        if self.num_batches == 0:
            return [self._current]
        if self.num_batches > 1:
            step = [s for s in self.history[-self._num_last :] if s.score]
            if not step:
                return []
            self._current = dict(max(step, key=self._worth).choices)
        if self.limits.limits and self.limits(self._current):
            return []
        steps = [
            {**self._current, name: ladder[ladder.index(self._current[name]) + 1]}
            for name, ladder in self._ladders.items()
            if self._current[name] != ladder[-1]
        ]
        steps = [values for values in steps if not self._too_low(values)]
        self._num_last = len(steps)
        return steps

    def _worth(self, subnet: Subnet) -> float:
        return float(self.points([subnet])[0, 0])

    def _too_low(self, values: dict[str, Any]) -> bool:
        costs = self.limits.costs(values)
        return any(costs[n] < low for n, (low, _) in self.limits.limits.items())

    def _ladder(self, values: dict[str, Any], name: str) -> list[Any]:
        """Return the values of a Choice, costliest first."""
        choice = self.space[name]
        if not isinstance(choice, OneOf):
            raise ValueError(
                f"GreedySearcher goes through the values of every Choice; {name!r} is "
                f"a {type(choice).__name__}, which has no list of them. Use another "
                "searcher."
            )
        costs = {v: self.limits.costs({**values, name: v}) for v in choice.values}
        return sorted(choice.values, key=lambda v: -costs[v][self._name])

    def _own_state(self) -> dict[str, Any]:
        data = {name: self.space[name].to_data(v) for name, v in self._current.items()}
        return {"current": data, "num_last": self._num_last}

    def _load_own_(self, data: dict[str, Any]) -> None:
        self._num_last = data["num_last"]
        self._current = {
            name: self.space[name].from_data(v) for name, v in data["current"].items()
        }
