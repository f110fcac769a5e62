# Optuna (Akiba et al., 2019, arXiv:1907.10902) is loaded on use. Its heartbeat serves
# `Study.optimize` only; here it is beaten for asked trials, and trials are claimed so
# that no two workers evaluate the same values.
"""One Optuna study that several workers share."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, final

from ..space import SearchSpace
from .optuna_storage import categorical, opened_storage, opened_study
from .optuna_trials import (
    AGAIN,
    UNSCORED,
    WITHDRAWN,
    Standing,
    Verdict,
    standing,
    turn_of,
    values_of,
)

_SETTING_UP_S = 10.0


@final
class SharedStudy:
    """Trials of a search in a storage that workers join and leave.

    A trial is *claimed* while it runs and once it is evaluated; the same values cannot
    be claimed twice. A trial whose worker does not beat for two heartbeats is given up,
    and its values are put in line again.

    Args:
        url: Storage, as SQLAlchemy names it.
        name: Of the study; made if it is not there.
        space: What is searched.
        directions: ``maximize`` or ``minimize`` for each objective.
        heartbeat_s: Seconds between signs of life, a whole number from 1.

    Raises:
        ConnectionError: If the storage cannot be reached.
        ValueError: If the study is of another space or has other objectives, or a
            Choice has no list of values.
    """

    def __init__(
        self,
        url: str,
        name: str,
        space: SearchSpace,
        directions: Sequence[str],
        heartbeat_s: int,
    ) -> None:
        self.distributions = categorical(space)
        self.space = space
        self._storage = opened_storage(url, heartbeat_s)
        self.study = opened_study(self._storage, name, space, directions)
        self._beat_s = heartbeat_s
        self._mine: dict[int, int] = {}  # id of the trial by its number
        self._others: set[int] = set()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def trials(self, *states: str) -> list[Any]:
        """Return all trials in these states, such as ``COMPLETE``."""
        from optuna.trial import TrialState

        chosen = [TrialState[state] for state in states]
        found: list[Any] = self.study.get_trials(deepcopy=False, states=chosen)
        return found

    def standing(self) -> Standing:
        """Return what the trials of all workers are to the search now."""
        found = self.study.get_trials(deepcopy=False)
        return standing(found, len(self.space))

    def num_trials(self) -> int:
        """Return the number of all trials, also of those that were withdrawn."""
        return len(self.study.get_trials(deepcopy=False))

    def give_up_dead(self) -> None:
        """End the trials of workers that show no more signs of life."""
        from optuna.storages import fail_stale_trials

        for trial in self.trials("RUNNING"):
            # A worker may die before its first sign of life: give the sign for it.
            if trial.number not in self._mine and trial.number not in self._others:
                self._others.add(trial.number)
                self._storage.record_heartbeat(trial._trial_id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental, as all of the heartbeat
            fail_stale_trials(self.study)

    def ask(self, sampler: Any) -> tuple[int, dict[str, Any]]:
        """Return a new trial's number and values; it is not yet claimed."""
        self.study.sampler = sampler
        with warnings.catch_warnings():
            # It says that nobody beats for asked trials; here somebody does.
            warnings.simplefilter("ignore")
            trial = self.study.ask(self.distributions)
        self.hold(trial.number, trial._trial_id)
        return trial.number, {name: trial.params[name] for name in self.space}

    def enqueue(self, values: Mapping[str, Any]) -> None:
        """Let the next trial have these values."""
        self.study.enqueue_trial(dict(values))

    def enqueue_again(self, dead: Any) -> None:
        """Let the next trial have the values of one whose worker died."""
        again = {AGAIN: turn_of(dead)[0]}
        self.study.enqueue_trial(values_of(dead), user_attrs=again)

    def claim(self, number: int, values: Mapping[str, Any], most: int) -> Verdict:
        """Return whether a trial may go on, see :meth:`Standing.verdict`.

        What one that was asked for earlier will have is waited for, 10 seconds at most.
        """
        give_up = time.monotonic() + _SETTING_UP_S
        while True:
            now = self.standing()
            known = [len(values_of(trial)) for trial in now.before(number)]
            if set(known) <= {len(self.space)} or time.monotonic() > give_up:
                return now.verdict(number, values, most)
            time.sleep(0.02)

    def hold(self, number: int, trial_id: int) -> None:
        """Give signs of life for a trial until it is told or withdrawn."""
        with self._lock:
            self._mine[number] = trial_id
        self._storage.record_heartbeat(trial_id)
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, daemon=True)
            self._thread.start()

    def withdraw(self, number: int) -> None:
        """Give a trial up that was not claimed."""
        self._end(number, "FAIL", None, {WITHDRAWN: True})

    def tell(
        self,
        number: int,
        objectives: Sequence[float] | None,
        attributes: Mapping[str, Any],
    ) -> None:
        """End a trial; nothing happens if another worker has taken it over.

        Args:
            number: Of the trial.
            objectives: What it reached, None if it could not be evaluated.
            attributes: What else is kept with it.
        """
        if objectives is None:
            self._end(number, "FAIL", None, {**attributes, UNSCORED: True})
        else:
            self._end(number, "COMPLETE", list(objectives), attributes)

    def resume(self, number: int) -> bool:
        """Hold a trial again; return whether it is still open."""
        for trial in self.trials("RUNNING"):
            if trial.number == number:
                self.hold(number, trial._trial_id)
                return True
        return False

    def close(self) -> None:
        """Give no more signs of life."""
        self._stop.set()

    def _end(
        self,
        number: int,
        state: str,
        objectives: list[float] | None,
        attributes: Mapping[str, Any],
    ) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        with self._lock:
            trial_id = self._mine.pop(number, None)
        if trial_id is None:
            return
        try:
            for key, value in attributes.items():
                self._storage.set_trial_user_attr(trial_id, key, value)
        except UpdateFinishedTrialError:  # another worker has taken it over
            return
        self.study.tell(number, objectives, state=_state(state), skip_if_finished=True)

    def _beat(self) -> None:
        from optuna.exceptions import StorageInternalError

        while not self._stop.wait(self._beat_s):
            with self._lock:
                ids = list(self._mine.values())
            for trial_id in ids:
                try:
                    self._storage.record_heartbeat(trial_id)
                except StorageInternalError:  # busy or away; the next beat may do
                    continue


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]
