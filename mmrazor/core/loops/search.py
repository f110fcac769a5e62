# The loop is not part of the searcher (ask/tell), and knows no model: what evaluates a
# candidate is a function. So it is the same on one process, on many ranks and in tests.
"""Search: evaluate what a searcher asks for, on all ranks, and lose nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, final

from ..searchers import CostLimits, Searcher
from ..searchers.nsga2 import crowded_order
from ..searchers.objectives import Objective
from ..space import SearchSpace, Subnet
from .crash_note import CrashNote, is_time_limit
from .ranks import from_leader, gathered, num_ranks, rank
from .search_progress import SearchProgress
from .search_state import Attempt, Evaluation, SearchState
from .time_limit import checked_time_limit, time_limit

Evaluate: TypeAlias = "Callable[[Mapping[str, Any], float], Mapping[str, Any]]"
Task: TypeAlias = "tuple[Subnet, float]"
Rounds: TypeAlias = "Generator[list[Task], list[Evaluation], None]"

_GIVE_UP = 20
_ATTEMPTS = 3


@final
class Search:
    """Evaluate the Subnets that a searcher asks for until it has no more.

    Each rank of ``torch.distributed`` evaluates another Subnet; rank 0 alone has the
    searcher. What was evaluated is on disk before the next one begins, and a search
    that was killed and resumed ends with the same Subnets.

    With several ``parts`` a batch is thinned out by successive halving (Jamieson and
    Talwalkar, 2016, arXiv:1502.07943): all of it is evaluated on the first part of the
    validation set, the best ``keep`` of it on the next, and so on. What is dropped is
    told to the searcher without a score.

    A Subnet whose evaluation ends the process is begun anew when the search is resumed,
    alone if several ranks were at work; after three times it is recorded as failed,
    with the signal.

    Args:
        space: What to search.
        searcher: Which Subnets.
        evaluate: From values and the share of the validation set to scores by name.
            What it raises is recorded, and the search goes on.
        limits: What Subnets may cost.
        metric: Objective of a searcher that was given none.
        work_dir: Folder of the state. None: it is not kept.
        resume: Go on with the state that is there, if any.
        parts: Shares of the validation set, ascending, the last of them 1.
        keep: Share of a batch that goes on to the next part, in (0, 1).
        time_limit_s: Seconds after which an evaluation is interrupted and recorded as
            failed. One that cannot be interrupted ends the process, and is recorded
            when the search is resumed. None: there is no limit.
        progress: Whether to show a bar.

    Raises:
        FileExistsError: If there is the state of a search that is not to be resumed.
        ValueError: If an argument is out of range, or the state does not fit.

    Example:
        >>> from mmrazor.core.searchers import EvolutionSearcher
        >>> from mmrazor.core.space import OneOf
        >>> space = SearchSpace([OneOf(name, range(8)) for name in 'abc'])
        >>> searcher = EvolutionSearcher(20, 5, top_k=5, mutation=10, crossover=10)
        >>> best = Search(space, searcher, lambda values, part:
        ...               {'score': sum(values.values())}).run()
        >>> best[0].score
        {'score': 21}
    """

    def __init__(
        self,
        space: SearchSpace,
        searcher: Searcher,
        evaluate: Evaluate,
        *,
        limits: CostLimits | None = None,
        metric: Objective = "score",
        work_dir: str | Path | None = None,
        resume: bool = False,
        parts: Sequence[float] = (1.0,),
        keep: float = 0.5,
        time_limit_s: float | None = None,
        progress: bool = False,
    ) -> None:
        self.space, self.searcher, self.evaluate = space, searcher, evaluate
        self.parts, self.keep = _checked_parts(parts, keep), keep
        self.time_limit_s = checked_time_limit(time_limit_s)
        self.progress = progress
        #: What was evaluated, in order; on rank 0.
        self.evaluations: list[Evaluation] = []
        self._known: dict[tuple[Hashable, float], Evaluation] = {}
        self._died: dict[tuple[Hashable, float], Attempt] = {}
        self._note = CrashNote(work_dir, rank())
        self._state = None if work_dir is None else SearchState(work_dir, space)
        from_leader(lambda: self._begin(limits, metric, work_dir, resume))

    def run(self, count: int = 10) -> list[Subnet]:
        """Search to the end.

        Args:
            count: Subnets wanted, see :meth:`Searcher.best`.

        Returns:
            The best, best first, with cost and score; the same on every rank.

        Raises:
            ValueError: If no Subnet meets the budget, or a metric is not there.
            RuntimeError: If Subnets cannot be evaluated at all.
        """
        shown = self.progress and rank() == 0
        with self._note, SearchProgress(self.searcher, shown) as bar:
            bar.show(self.evaluations, new=False)
            rounds = self._rounds()
            tasks = from_leader(partial(_next_round, rounds, None))
            while tasks:
                mine = tasks[rank()] if rank() < len(tasks) else None
                every = gathered(None if mine is None else self._evaluated(*mine))
                results = [one for one in every if one is not None]
                bar.show(results)
                tasks = from_leader(partial(_next_round, rounds, results))
        return from_leader(lambda: self.searcher.best(count))

    def _begin(
        self,
        limits: CostLimits | None,
        metric: Objective,
        work_dir: str | Path | None,
        resume: bool,
    ) -> None:
        self.searcher.start(self.space, limits, metric, work_dir or ".")
        state = self._state
        if state is None or not state.exists():
            if state is not None:
                state.clear()
            return
        if not resume:
            raise FileExistsError(
                f"'{state.searcher_file}' is the state of a search. Resume it, or "
                "search in another folder."
            )
        self.searcher.load_state_(state.read_searcher())
        for evaluation in state.evaluations():
            self.searcher.check(evaluation.subnet)
            self._remember(evaluation)
        for attempt in state.attempts():
            key = self.space.key(attempt.values), attempt.part
            if key not in self._known:
                self._died[key] = attempt

    def _rounds(self) -> Rounds:
        """Yield what to evaluate, one task for each rank, and be sent the results."""
        while batch := self.searcher.pending() + list(iter(self.searcher.ask, None)):
            if self._state is not None:
                died = list(self._died.values())
                self._state.begin_round(len(self.evaluations), (), died)
                state = self.searcher.state_dict()
                self._state.write_searcher(state, len(self.evaluations))
            alive = batch
            for part in self.parts:
                todo = [s for s in alive if self._key(s, part) not in self._known]
                while todo:
                    chunk, todo = self._next_chunk(todo, part)
                    reason = self._given_up(chunk[0], part)
                    if reason is not None:
                        self._record([Evaluation(chunk[0], reason, part)])
                        continue
                    self._begin_attempts(chunk, part)
                    self._record((yield [(subnet, part) for subnet in chunk]))
                if part < 1:
                    alive = self._best_of(alive, part)
            for subnet in batch:
                found = self._known.get(self._key(subnet, 1.0))
                self.searcher.tell(found.subnet if found else subnet)

    def _next_chunk(
        self, todo: list[Subnet], part: float
    ) -> tuple[list[Subnet], list[Subnet]]:
        """Split off what is evaluated next: one for each rank, a deadly one alone."""
        size = 0
        while size < min(num_ranks(), len(todo)) and not self._deaths(todo[size], part):
            size += 1
        size = max(size, 1)
        return todo[:size], todo[size:]

    def _deaths(self, subnet: Subnet, part: float) -> int:
        """Return how many processes died while they evaluated a Subnet."""
        died = self._died.get(self._key(subnet, part))
        return max(0 if died is None else died.count, self.searcher.deaths(subnet))

    def _given_up(self, subnet: Subnet, part: float) -> str | None:
        """Return why a Subnet is not evaluated any more, None if it is."""
        died = self._died.get(self._key(subnet, part))
        reason = "a fault that other workers saw" if died is None else died.reason
        if is_time_limit(reason):
            return f"It did not end within {reason}, and could not be interrupted."
        count = self._deaths(subnet, part)
        if count < _ATTEMPTS:
            return None
        return f"{count} processes died while they evaluated it, the last by {reason}."

    def _begin_attempts(self, chunk: list[Subnet], part: float) -> None:
        """Put on disk what the ranks begin to evaluate, and how often they have."""
        if self._state is None:
            return
        keys = [self._key(subnet, part) for subnet in chunk]
        running = []
        for key, subnet in zip(keys, chunk, strict=True):
            died = self._died.get(key)
            count = 1 if died is None else died.count + 1
            running.append(Attempt(subnet.choices, part, count))
        others = [one for key, one in self._died.items() if key not in keys]
        self._state.begin_round(len(self.evaluations), running, others)

    def _record(self, results: list[Evaluation]) -> None:
        results = [replace(one, batch=self.searcher.num_batches) for one in results]
        if self._state is not None:
            self._state.add(results)
        for one in results:
            self._remember(one)
            self.searcher.check(one.subnet)
        failed = [one for one in self.evaluations if one.error is not None]
        if len(failed) == len(self.evaluations) >= _GIVE_UP:
            raise RuntimeError(
                f"None of the first {len(failed)} Subnets could be evaluated. The last "
                f"one: {failed[-1].error}"
            )

    def _remember(self, evaluation: Evaluation) -> None:
        key = self._key(evaluation.subnet, evaluation.part)
        self.evaluations.append(evaluation)
        self._known[key] = evaluation
        self._died.pop(key, None)

    def _best_of(self, subnets: list[Subnet], part: float) -> list[Subnet]:
        """Return the share that goes on, in the order of the batch."""
        known = [self._known[self._key(subnet, part)].subnet for subnet in subnets]
        known = [subnet for subnet in known if subnet.score]
        order = crowded_order(self.searcher.points(known))
        order = sorted(order[: math.ceil(self.keep * len(known))])
        return [replace(known[i], score={}) for i in order]

    def _key(self, subnet: Subnet, part: float) -> tuple[Hashable, float]:
        return self.space.key(subnet.choices), part

    def _evaluated(self, subnet: Subnet, part: float) -> Evaluation:
        begin, score, error = time.perf_counter(), {}, None
        try:
            with time_limit(self.time_limit_s, self._note.file):
                score = _numbers(self.evaluate(subnet.choices, part))
        except Exception as err:  # noqa: BLE001 - other candidates may be fine
            error = f"{type(err).__name__}: {err}"
        seconds = time.perf_counter() - begin
        return Evaluation(
            replace(subnet, score=score), error, part, seconds=round(seconds, 4)
        )


def _next_round(rounds: Rounds, results: list[Evaluation] | None) -> list[Task]:
    try:
        return next(rounds) if results is None else rounds.send(results)
    except StopIteration:
        return []


def _numbers(score: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers among scores.

    Raises:
        ValueError: If there is none, or one is nan or infinite.
    """
    plain = {name: getattr(v, "item", lambda v=v: v)() for name, v in score.items()}
    found = {name: v for name, v in plain.items() if type(v) in (int, float)}
    bad = {name: value for name, value in found.items() if not math.isfinite(value)}
    if bad or not found:
        raise ValueError(f"scores must be finite numbers, got {bad or dict(score)}")
    return found


def _checked_parts(parts: Sequence[float], keep: float) -> tuple[float, ...]:
    parts = tuple(float(part) for part in parts)
    rising = list(parts) == sorted(set(parts))
    if not parts or not rising or parts[0] <= 0 or parts[-1] != 1:
        raise ValueError(
            f"parts={parts} must be shares of the validation set, ascending, the last "
            "of them 1, such as (0.25, 0.5, 1)."
        )
    if not 0 < keep < 1:
        raise ValueError(f"keep={keep} must be in (0, 1).")
    return parts
