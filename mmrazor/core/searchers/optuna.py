"""Search by Optuna, on one machine or many that share a storage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from ...registry import TASK_UTILS
from ..space import Subnet
from .base import Searcher
from .draw import draw_children, draw_new, walk_into
from .objectives import Objective
from .optuna_study import SharedStudy
from .optuna_trials import values_of

_TRIES = 20
_POLL_S = 0.5


def _tpe(seed: int) -> Any:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, constant_liar=True)


def _nsga2(seed: int) -> Any:
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed)


_SAMPLERS: dict[str, Callable[[int], Any]] = {"TPE": _tpe, "NSGAII": _nsga2}


@final
@TASK_UTILS.register_module()
class OptunaSearcher(Searcher):
    """Let a sampler of Optuna propose Subnets (needs the package ``optuna``).

    All that is evaluated is in the storage. Workers are started and stopped at any time
    with the same config, each with a work directory of its own; no two evaluate the
    same Subnet, and what a worker held that shows no sign of life any more is evaluated
    by another. A proposal outside the limits is changed one Choice at a time until it
    is inside.

    Args:
        num_subnets: To evaluate by all workers together.
        sampler: ``TPE`` or ``NSGAII``.
        storage: Database, as SQLAlchemy names it. For workers on one machine a file on
            its own disk, ``sqlite:////data/search.db``; for many machines
            ``postgresql://user:password@host/name`` or MySQL. None: ``optuna.db`` in
            the work directory.
        study: Name of the search in the storage.
        batch: Subnets asked at a time; as many as there are ranks.
        heartbeat_s: Seconds between signs of life; a worker is given up after twice as
            many.
        objectives: See :class:`Searcher`.
        seed: Of the sampler. With one worker, one seed is one search.

    Raises:
        ValueError: If a value is out of range.
    """

    def __init__(
        self,
        num_subnets: int = 1000,
        sampler: str = "TPE",
        storage: str | None = None,
        study: str = "search",
        batch: int = 1,
        heartbeat_s: int = 60,
        *,
        objectives: Sequence[Objective] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(objectives=objectives, seed=seed)
        if sampler not in _SAMPLERS:
            raise ValueError(f"sampler={sampler!r} must be one of {list(_SAMPLERS)}.")
        whole = all(one == int(one) for one in (num_subnets, batch, heartbeat_s))
        if not whole or min(num_subnets, batch, heartbeat_s) < 1:
            raise ValueError(
                f"num_subnets={num_subnets}, batch={batch} and heartbeat_s="
                f"{heartbeat_s} must be whole numbers from 1."
            )
        self.num_subnets = self.total = num_subnets
        self.sampler, self.storage, self.study_name = sampler, storage, study
        self.batch, self.heartbeat_s = batch, int(heartbeat_s)

    def start(self, *args: Any, **kwargs: Any) -> None:
        """Begin or join a search; arguments as of :meth:`Searcher.start`.

        Raises:
            ConnectionError: If the storage cannot be reached.
            ValueError: If the study is of another search, or was begun without a budget
                for a cost that is bounded here.
        """
        super().start(*args, **kwargs)
        url = self.storage
        if url is None:
            self.work_dir.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{self.work_dir.resolve() / 'optuna.db'}"
        ways = {"max": "maximize", "min": "minimize"}
        directions = [ways[way] for _, way in self.objectives]
        self._study = SharedStudy(
            url, self.study_name, self.space, directions, self.heartbeat_s
        )
        for subnet in self.evaluated():
            self.check(subnet)
        self._numbers: list[int] = []
        self._deaths: Counter[Hashable] = Counter()
        self._used_up = False

    def tell(self, subnet: Subnet, score: Mapping[str, float] | None = None) -> None:
        """Learn what a Subnet scored, and let the other workers know.

        Raises:
            ValueError: If it is not pending, or an objective is missing.
        """
        number = self._numbers[self._position(subnet)]
        told = subnet if score is None else replace(subnet, score=score)
        self.check(told)
        known = {**told.cost, **told.score}
        reached = [known[name] for name, _ in self.objectives] if told.score else None
        attributes = {"cost": dict(told.cost), "score": dict(told.score)}
        self._study.tell(number, reached, attributes)
        super().tell(told)

    def evaluated(self) -> list[Subnet]:
        """Return what was evaluated by all workers, failures left out."""
        fingerprint = self.space.fingerprint()
        return [
            Subnet(
                fingerprint,
                {name: trial.params[name] for name in self.space},
                cost=trial.user_attrs["cost"],
                score=trial.user_attrs["score"],
            )
            for trial in self._study.trials("COMPLETE")
        ]

    def deaths(self, subnet: Subnet) -> int:
        """Return how many workers were given up while they held a Subnet."""
        return self._deaths[self.space.key(subnet.choices)]

    def _proposed(self) -> Sequence[dict[str, Any]]:
        batch: list[dict[str, Any]] = []
        self._numbers = []
        while len(batch) < self.batch:
            self._study.give_up_dead()
            now = self._study.standing()
            owed = [*now.waiting, *now.left()]
            over = self._used_up and not now.running and not owed
            if over or len(now.evaluated) >= self.num_subnets:
                break
            room = len(now.evaluated) + len(now.running) < self.num_subnets
            if room and (owed or not self._used_up):
                found = self._claimed()
                if found is not None:
                    self._numbers.append(found[0])
                    batch.append(found[1])
                    continue
            if batch:
                break
            time.sleep(_POLL_S)  # others hold the rest, and may die
        if batch:
            self._count_deaths()
        else:
            self._study.close()
        return batch

    def _count_deaths(self) -> None:
        dead = self._study.standing().dead
        self._deaths = Counter(self.space.key(values_of(trial)) for trial in dead)

    def _claimed(self) -> tuple[int, dict[str, Any]] | None:
        """Return a trial that is ours; None if others hold all that is left to do."""
        for _ in range(_TRIES):
            now = self._study.standing()
            for dead in now.left():
                self._study.enqueue_again(dead)
            # One that is being set up by another worker lacks values.
            full = [values for values in now.known() if len(values) == len(self.space)]
            seen = {self.space.key(values) for values in full}
            # A seed for each trial, so that workers differ and a resumed one goes on.
            seed = self.seed * 1_000_003 + self._study.num_trials()
            number, values = self._study.ask(_SAMPLERS[self.sampler](seed))
            if self.limits(values):
                verdict = self._study.claim(number, values, self.num_subnets)
                if verdict == "ours":
                    return number, values
            else:
                verdict = "known"
                walk_into(self.space, self.limits, self.rng, values)
            self._study.withdraw(number)
            if verdict == "full":
                return None
            nearby = self._new_near(values, seen)
            if nearby is None:
                if not seen:
                    raise self.limits.unmet()
                self._used_up = True
                return None
            self._study.enqueue(nearby)
        return None

    def _new_near(
        self, values: dict[str, Any], seen: set[Hashable]
    ) -> dict[str, Any] | None:
        """Return new values within limits, if possible with few changes."""
        space, limits, rng = self.space, self.limits, self.rng
        if limits(values) and space.key(values) not in seen:
            return values
        near = draw_children(
            lambda: space.mutate(values, rng, 0.2), 1, space, limits, seen, tries=50
        )
        return near[0] if near else draw_new(space, limits, rng, seen)

    def _found(self) -> list[Subnet]:
        return self.evaluated()

    def _own_state(self) -> dict[str, Any]:
        return {"numbers": self._numbers, "trials": self._study.num_trials()}

    def _load_own_(self, data: dict[str, Any]) -> None:
        found, wanted = self._study.num_trials(), data.get("trials", 0)
        if found < wanted:
            raise ValueError(
                f"Study {self.study_name!r} in the storage has {found} trials, and "
                f"this worker saw {wanted}: trials are lost. Bring the database back "
                "from a copy, or search anew in another folder and another study."
            )
        self._count_deaths()
        self._numbers = list(data["numbers"])
        for subnet in self.pending():
            if not self._study.resume(self._numbers[self._position(subnet)]):
                super().tell(subnet)  # another worker has taken it over
