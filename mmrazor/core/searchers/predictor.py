"""Search in which a predictor ranks candidates before they are evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from ...registry import TASK_UTILS
from ..space import Subnet
from .base import Searcher
from .build import build_predictor, build_searcher
from .metric_predictors import MetricPredictor, features
from .nsga2 import crowded_order
from .objectives import Objective
from .rank_correlation import kendall, spearman


@final
@TASK_UTILS.register_module()
class PredictorSearcher(Searcher):
    """Evaluate only the candidates of another searcher that a predictor ranks first.

    The first ``warmup`` candidates are all evaluated. From then on the predictor learns
    from all that is known, and of each batch of the other searcher the share ``keep``
    is evaluated; the others are told to it as failed. What was predicted before a score
    was known is held against it: see :meth:`rank_correlation`.

    Args:
        searcher: The other searcher, or its config. Its batches should be large: a
            population of 200 with ``keep=0.25`` evaluates 50.
        predictor: A :class:`MetricPredictor`, or its config; one for each score.
        warmup: Scores to begin with.
        keep: Share of a batch that is evaluated, at least one Subnet.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        searcher: Searcher | Mapping[str, Any],
        predictor: MetricPredictor | Mapping[str, Any],
        warmup: int = 50,
        keep: float = 0.25,
    ) -> None:
        if warmup < 2 or not 0 < keep <= 1:
            raise ValueError(
                f"warmup={warmup} must be at least 2, keep={keep} in (0, 1]."
            )
        self.searcher = build_searcher(searcher)
        self.predictor = build_predictor(predictor)
        self.warmup, self.keep = warmup, keep
        super().__init__(seed=self.searcher.seed)
        if self.searcher.total is not None:
            self.total = warmup + round(max(self.searcher.total - warmup, 0) * keep)

    def start(self, *args: Any, **kwargs: Any) -> None:
        """Begin a search; arguments as of :meth:`Searcher.start`."""
        super().start(*args, **kwargs)
        self.searcher.start(*args, **kwargs)
        self._ranked = False
        #: Predicted scores, by place in the history and by name.
        self._predicted: dict[int, dict[str, float]] = {}

    def objectives_for(self, metric: Objective) -> tuple[tuple[str, str], ...]:
        """Return what the other searcher looks for."""
        return self.searcher.objectives_for(metric)

    def rank_correlation(self) -> dict[str, dict[str, float]]:
        """Return how well scores were predicted before they were known.

        Only Subnets that were ranked first are evaluated, so the range of scores is
        narrow and the correlation lower than over the whole space.

        Returns:
            By score ``spearman``, ``kendall`` and ``num_subnets``.
        """
        places = [
            i
            for i in self._predicted
            if i < len(self.history) and self.history[i].score
        ]
        found = {}
        for name in self._predicted[places[0]] if places else ():
            guessed = [self._predicted[i][name] for i in places]
            real = [self.history[i].score[name] for i in places]
            found[name] = {
                "spearman": spearman(guessed, real),
                "kendall": kendall(guessed, real),
                "num_subnets": len(places),
            }
        return found

    def _proposed(self) -> Sequence[dict[str, Any]]:
        held = [s for s in self.searcher.pending() if not self._was_asked(s)]
        if self._ranked or not held:
            self._close()
            held = list(iter(self.searcher.ask, None))
            self._ranked = False
        scored = [s for s in self.history if s.score]
        if len(scored) < self.warmup:
            return [dict(s.choices) for s in held[: self.warmup - len(scored)]]
        self._ranked = True
        return [dict(s.choices) for s in self._first(scored, held)]

    def _was_asked(self, subnet: Subnet) -> bool:
        return self.space.key(subnet.choices) in self._seen

    def _close(self) -> None:
        """Tell the other searcher of its batch what is known."""
        known = {self.space.key(s.choices): s for s in self.history}
        for subnet in self.searcher.pending():
            self.searcher.tell(known.get(self.space.key(subnet.choices), subnet))

    def _first(self, scored: list[Subnet], held: list[Subnet]) -> list[Subnet]:
        """Return those of ``held`` that are predicted to be best."""
        if not held:
            return []
        learnt = features(self.space, [s.choices for s in scored])
        asked = features(self.space, [s.choices for s in held])
        guesses: list[dict[str, float]] = [{} for _ in held]
        for name, _ in self.objectives:
            if name in held[0].cost:
                continue
            self.predictor.fit_(learnt, np.array([s.score[name] for s in scored]))
            for guess, value in zip(
                guesses, self.predictor.predict(asked), strict=True
            ):
                guess[name] = float(value)
        imagined = [
            Subnet(s.space, s.choices, cost=s.cost, score=guess)
            for s, guess in zip(held, guesses, strict=True)
        ]
        order = crowded_order(self.points(imagined))
        order = order[: max(1, round(self.keep * len(held)))]
        begin = len(self.history)
        self._predicted |= {begin + i: guesses[j] for i, j in enumerate(order)}
        return [held[i] for i in order]

    def _own_state(self) -> dict[str, Any]:
        return {
            "searcher": self.searcher.state_dict(),
            "ranked": self._ranked,
            "predicted": [[i, guess] for i, guess in self._predicted.items()],
        }

    def _load_own_(self, data: dict[str, Any]) -> None:
        self.searcher.load_state_(data["searcher"])
        self._ranked = data["ranked"]
        self._predicted = dict(data["predicted"])
