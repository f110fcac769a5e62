"""Workers that share a study, in every order that their steps and deaths may have."""

from __future__ import annotations

import random
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

optuna = pytest.importorskip("optuna")

from mmrazor.core.searchers import optuna_study  # noqa: E402
from mmrazor.core.searchers.optuna_trials import values_of  # noqa: E402
from mmrazor.core.space import OneOf, SearchSpace  # noqa: E402

SPACE = SearchSpace([OneOf("a", [1, 2, 3])])
RANDOM = optuna.samplers.RandomSampler(0)


class Memory(optuna.storages.InMemoryStorage):
    def record_heartbeat(self, trial_id):
        pass


class Worker:
    """What the searcher does with a study, one access to the storage at a time."""

    def __init__(self, study, most, draws, evaluated):
        self.study, self.most = study, most
        self.draws, self.evaluated = draws, evaluated
        self.number = None
        self.claimed = False
        self.steps = self._steps()

    def step(self):
        next(self.steps, None)

    def _steps(self):
        study = self.study
        while True:
            now = study.standing()
            yield
            if len(now.evaluated) >= self.most:
                return
            if len(now.evaluated) + len(now.running) >= self.most:
                continue
            for dead in now.left():
                study.enqueue_again(dead)
                yield
            drawn = {"a": next(self.draws)}
            sampler = optuna.samplers.PartialFixedSampler(drawn, RANDOM)
            self.number, values = study.ask(sampler)
            yield
            self.claimed = study.claim(self.number, values, self.most) == "ours"
            yield
            if self.claimed:
                self.evaluated.append(values)
                fails = values["a"] == 3
                study.tell(self.number, None if fails else [0.0], {})
            else:
                study.withdraw(self.number)
            self.number, self.claimed = None, False
            yield


def _endless():
    rng = random.Random(0)
    while True:
        yield rng.randint(1, 3)


class Party:
    """Some workers, of which some die; the others notice it some time later."""

    def __init__(self, num_workers, most, draws):
        storage = Memory()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(optuna_study, "opened_storage", lambda *_: storage)
            self.studies = [
                optuna_study.SharedStudy("", "search", SPACE, ["maximize"], 3600)
                for _ in range(num_workers)
            ]
        self.evaluated, self.owed, self.unnoticed = [], [], []
        draws = chain(draws, _endless())
        self.workers = [Worker(s, most, draws, self.evaluated) for s in self.studies]

    def kill(self, index):
        if len(self.workers) == 1:
            return
        worker = self.workers.pop(index % len(self.workers))
        worker.study.close()
        if worker.number is not None:
            self.unnoticed.append(worker.number)
        if worker.claimed:
            trials = worker.study.standing().running
            held = [t for t in trials if t.number == worker.number]
            self.owed.extend(values_of(trial) for trial in held)

    def notice(self):
        """Do what is done to a trial without signs of life."""
        if self.unnoticed:
            state = optuna.trial.TrialState.FAIL
            self.studies[0].study.tell(self.unnoticed.pop(0), state=state)

    def finish(self):
        while self.unnoticed:
            self.notice()
        for _ in range(200):
            for worker in self.workers:
                worker.step()

    def close(self):
        for study in self.studies:
            study.close()


DRAWS = st.lists(st.integers(1, 3), max_size=6)
EVENTS = st.one_of(
    st.tuples(st.just("step"), st.integers(0, 3)),
    st.tuples(st.just("step"), st.integers(0, 3)),
    st.tuples(st.just("step"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["kill", "notice"]), st.integers(0, 3)),
)


def _events(line):
    kinds = {"s": "step", "k": "kill", "n": "notice"}
    return [(kinds[word[0]], int(word[1:] or 0)) for word in line.split()]


IGNORED = "ignore::optuna.exceptions.ExperimentalWarning"


# The one that died is noticed after the last place was asked for by another ...
@example(2, 1, [1], _events("s0 s1 s1 s1 k1"))
# ... is in line when the other goes on ...
@example(3, 1, [2, 1], _events("s0 s1 s0 s0 k0 n s1 s0 s1 s0"))
# ... or has its values drawn by a third.
@example(3, 1, [2, 1], _events("s0 s1 s2 s0 s0 k0"))
@pytest.mark.filterwarnings(IGNORED)
@settings(max_examples=200)
@given(st.integers(2, 4), st.integers(1, 3), DRAWS, st.lists(EVENTS, max_size=60))
def test_all_is_evaluated_once(num_workers, most, draws, events):
    party = Party(num_workers, most, draws)
    for kind, index in events:
        if kind == "step":
            party.workers[index % len(party.workers)].step()
        elif kind == "kill":
            party.kill(index)
        else:
            party.notice()
    party.finish()
    party.close()
    evaluated = party.evaluated
    assert len(evaluated) == most
    assert all(evaluated.count(values) == 1 for values in evaluated)
    assert all(values in evaluated for values in party.owed)
