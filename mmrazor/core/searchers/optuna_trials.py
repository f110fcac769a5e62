# Optuna (Akiba et al., 2019, arXiv:1907.10902) is loaded on use. Its own way to put the
# trial of a dead worker in line again takes two steps, between which the trial is
# nowhere; here it counts as long as nobody has evaluated its values.
"""What the trials of a shared Optuna study are to the search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

AGAIN = "again"
UNSCORED = "unscored"
WITHDRAWN = "withdrawn"

Turn = tuple[int, int]
Verdict = Literal["ours", "known", "full"]


@dataclass(frozen=True)
class Standing:
    """Trials of a study that matter to the search; each is in one list.

    Args:
        running: Held by a worker, whose values may not all be set yet.
        waiting: In line, for whoever asks next.
        evaluated: Scored, or tried and found impossible to score.
        dead: Held by a worker when it died.
    """

    running: Sequence[Any]
    waiting: Sequence[Any]
    evaluated: Sequence[Any]
    dead: Sequence[Any]

    def left(self) -> list[Any]:
        """Return the dead trials whose values are still to be put in line again.

        Of those with the same values it is the first.
        """
        left: list[Any] = []
        for trial in sorted(self.dead, key=turn_of):
            first, values = turn_of(trial)[0], values_of(trial)
            held = [*self.running, *self.waiting, *left]
            # Who asked for the same values later will not have them.
            others = [t for t in held if turn_of(t)[0] <= first]
            if all(values_of(t) != values for t in [*others, *self.evaluated]):
                left.append(trial)
        return left

    def known(self) -> list[dict[str, Any]]:
        """Return all values that somebody has, had or is to have."""
        lists = (self.running, self.waiting, self.evaluated, self.dead)
        return [values_of(trial) for trials in lists for trial in trials]

    def before(self, number: int) -> list[Any]:
        """Return what is to be evaluated and was asked for before a running trial."""
        first = (self._turn(number) or (number, number))[0]
        others = [*self.running, *self.waiting, *self.left()]
        return [trial for trial in others if turn_of(trial)[0] < first]

    def verdict(self, number: int, values: Mapping[str, Any], most: int) -> Verdict:
        """Return whether a running trial may be evaluated.

        Of two with the same values, and of two for the last place, the one goes on that
        was asked for first; what is evaluated in place of a dead one has its turn.

        Args:
            number: Of the trial.
            values: Of the trial.
            most: Trials that may be evaluated in all.

        Returns:
            ``ours``; ``known`` if somebody else has its values; ``full`` if it is one
            too many.
        """
        turn = self._turn(number)
        if turn is None:  # taken over
            return "known"
        before = self.before(number)
        twins = [t for t in self.running if (turn[0], -1) < turn_of(t) < turn]
        others = [*before, *twins, *self.evaluated]
        if any(values_of(trial) == values for trial in others):
            return "known"
        places = {turn_of(trial)[0] for trial in before}
        return "ours" if len(places) + len(self.evaluated) < most else "full"

    def _turn(self, number: int) -> Turn | None:
        return next((turn_of(t) for t in self.running if t.number == number), None)


def standing(trials: Iterable[Any], num_choices: int) -> Standing:
    """Sort the trials of a study by what they are to the search.

    Args:
        trials: All of the study.
        num_choices: Of the space. A worker that died before its trial had all values
            held nothing.
    """
    found: dict[str, list[Any]] = {}
    for trial in trials:
        place = _place(trial)
        if place != "dead" or len(values_of(trial)) == num_choices:
            found.setdefault(place, []).append(trial)
    names = ("running", "waiting", "evaluated", "dead")
    return Standing(**{name: found.get(name, []) for name in names})


def values_of(trial: Any) -> dict[str, Any]:
    """Return the values a trial has, or will have if it was put in line with them."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def turn_of(trial: Any) -> Turn:
    """Return what trials are ordered by: the first to hold the values, and its own."""
    return trial.user_attrs.get(AGAIN, trial.number), trial.number


def _place(trial: Any) -> str:
    if trial.state.name == "FAIL":
        if UNSCORED in trial.user_attrs:
            return "evaluated"
        return "withdrawn" if WITHDRAWN in trial.user_attrs else "dead"
    return {"COMPLETE": "evaluated"}.get(trial.state.name, trial.state.name.lower())
