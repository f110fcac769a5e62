"""Optuna's samplers, and workers that share a storage, join and die."""

from __future__ import annotations

import json
import multiprocessing
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna")

from mmrazor.core.searchers import CostLimits, OptunaSearcher  # noqa: E402
from mmrazor.core.searchers.optuna_storage import LocalConnection  # noqa: E402
from mmrazor.core.space import KeepChannels, SearchSpace  # noqa: E402
from tests.core.loops.toy_search import main, toy_search  # noqa: E402
from tests.core.searchers.toys import (  # noqa: E402
    run,
    toy_limits,
    toy_score,
    toy_space,
)

SMALL = 8


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def started(folder, budget=None, **settings):
    searcher = OptunaSearcher(**{"num_subnets": SMALL, "heartbeat_s": 1, **settings})
    searcher.start(toy_space(), toy_limits(budget), metric="acc", work_dir=folder)
    return searcher


@pytest.mark.parametrize("sampler", ["TPE", "NSGAII"])
@pytest.mark.parametrize("budget", [None, dict(macs=(38, 41))])
def test_never_twice_within_the_budget_and_by_seed(sampler, budget, tmp_path):
    asked = run(started(tmp_path / "a", budget, sampler=sampler))
    keys = {tuple(subnet.choices.values()) for subnet in asked}
    assert len(keys) == len(asked) == SMALL
    assert all(toy_limits(budget)(subnet.choices) for subnet in asked)
    assert asked == run(started(tmp_path / "b", budget, sampler=sampler))
    assert asked != run(started(tmp_path / "c", budget, sampler=sampler, seed=1))


@pytest.mark.slow
def test_learns(tmp_path):
    searcher = started(tmp_path, num_subnets=60)
    asked = run(searcher)
    scores = [toy_score(subnet.choices)["acc"] for subnet in asked]
    assert sum(scores[40:]) / 20 > sum(scores[:10]) / 10 + 1
    assert searcher.best()[0].score["acc"] == max(scores)


def test_several_objectives_and_failures(tmp_path):
    objectives = ["acc", ("macs", "min")]
    searcher = started(tmp_path, sampler="NSGAII", objectives=objectives)

    def score(values):
        return {} if values["a"] == 3 else toy_score(values)

    asked = run(searcher, score)
    assert len(asked) == SMALL  # failures are not tried again
    assert len(searcher.evaluated()) == sum(s.choices["a"] != 3 for s in asked)
    found = [(s.score["acc"], s.cost["macs"]) for s in searcher.best()]
    assert found == sorted(found, reverse=True)
    assert len(found) > 1


def test_goes_on_in_another_process_state(tmp_path):
    whole = run(started(tmp_path / "whole"))
    searcher = started(tmp_path / "a")
    first = run(searcher, most=5)
    pending = searcher.ask()
    state = json.loads(json.dumps(searcher.state_dict()))
    copy = started(tmp_path / "a")
    copy.load_state_(state)
    assert copy.pending() == [pending]
    copy.tell(pending, toy_score(pending.choices))
    rest = run(copy)
    assert [*first, pending, *rest] == whole


def test_a_small_space_is_used_up(tmp_path):
    searcher = OptunaSearcher(50)
    space = toy_space(("a", "b"))
    searcher.start(space, toy_limits(), metric="acc", work_dir=tmp_path)
    assert len(run(searcher)) == 16


@pytest.mark.dist
def test_two_workers_one_killed(tmp_path):
    """Nothing is lost, and nothing evaluated twice but what the dead worker held."""
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    context = multiprocessing.get_context("fork")
    outs = [tmp_path / "first", tmp_path / "second", tmp_path / "third"]
    settings = json.dumps({})

    def start(out, kill_after):
        arguments = (f"{out}.work", out, "optuna", settings, kill_after, 0.1)
        worker = context.Process(target=worker_main, args=(storage, arguments))
        worker.start()
        return worker

    doomed, other = start(outs[0], 3), start(outs[1], 0)
    doomed.join(timeout=200)
    late = start(outs[2], 0)  # joins
    for worker in (other, late):
        worker.join(timeout=200)
    assert [w.exitcode for w in (doomed, other, late)] == [-signal.SIGKILL, 0, 0]

    logs = [_log(out) for out in outs]
    held = logs[0][-1]
    evaluated = [values for log in logs for values in log]
    assert len(logs[0]) == 3
    assert len({tuple(values) for values in evaluated}) == 12
    assert evaluated.count(held) == 2
    assert len(evaluated) == 13
    best = [json.loads(out.read_text())[0] for out in outs[1:]]
    assert best[0] == best[1]


def worker_main(storage, arguments):
    from tests.core.loops import toy_search as toys

    # on a busy machine, one that is late by two beats would be taken for dead
    toys.SEARCHERS["optuna"] |= {"storage": storage, "heartbeat_s": 4}
    main(*arguments)


def _log(out):
    path = Path(f"{out}.log")
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)[1] for line in lines]


def test_a_worker_that_died_before_its_first_sign_of_life(tmp_path):
    searcher = started(tmp_path, num_subnets=3)
    run(searcher, most=1)
    searcher._study.study.ask()  # RUNNING, and nobody beats for it
    begin = time.monotonic()
    assert len(run(searcher)) == 2
    assert time.monotonic() - begin < 20


def test_one_that_was_taken_over_is_let_go(tmp_path):
    first = started(tmp_path, num_subnets=3)
    pending = first.ask()
    first._study.close()  # as if it hung: no more signs of life
    second = started(tmp_path, num_subnets=3)
    asked = run(second)
    assert pending.choices in [subnet.choices for subnet in asked]
    first.tell(pending, toy_score(pending.choices))  # woke up
    assert len(first.evaluated()) == 3
    assert first.ask() is None


def test_search_resumes(tmp_path):
    def evaluate(values, part):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return toy_score(values)

    left = 5
    with pytest.raises(KeyboardInterrupt):
        toy_search("optuna", evaluate, work_dir=tmp_path).run()
    search = toy_search("optuna", evaluate, work_dir=tmp_path, resume=True)
    search.run()
    assert len(search.evaluations) == 12
    assert len({tuple(e.subnet.choices.values()) for e in search.evaluations}) == 12


def test_storage_that_cannot_be_reached(tmp_path):
    missing = "sqlite:////no/such/folder/x.db"
    match = "storage 'sqlite:////no/such/folder/x.db' of the search cannot be reached: "
    with pytest.raises(ConnectionError, match=match + "OperationalError"):
        started(tmp_path, storage=missing)
    secret = "nodb://user:secret@host/x"
    with pytest.raises(ConnectionError, match="'nodb://user:...@host/x'") as error:
        started(tmp_path, storage=secret)
    assert "secret" not in str(error.value)
    broken = tmp_path / "broken.db"
    broken.write_text("no database " * 100)
    with pytest.raises(ConnectionError, match="DatabaseError.* Check the address"):
        started(tmp_path, storage=f"sqlite:///{broken}")


def test_storage_that_another_worker_writes_to(tmp_path):
    file = tmp_path / "shared.db"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE held (number INTEGER)")
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO held VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match="locked"):  # as SQLite has it
        sqlite3.connect(file, timeout=60).execute("PRAGMA journal_mode=WAL")
    end = threading.Timer(0.3, other.commit)
    end.start()
    connection = sqlite3.connect(file, timeout=60, factory=LocalConnection)
    end.join()
    assert connection.execute("SELECT number FROM held").fetchall() == [(1,)]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_study_of_another_search(tmp_path):
    run(started(tmp_path, num_subnets=2))
    searcher = OptunaSearcher()
    match = r"Study 'search' .* for \['maximize'\], this search .* another study name"
    with pytest.raises(ValueError, match=match):
        searcher.start(toy_space(("a", "b")), metric="acc", work_dir=tmp_path)
    assert sqlite3.connect(tmp_path / "optuna.db").execute(
        "select count(*) from studies"
    ).fetchone() == (1,)


def test_what_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="sampler='GP' must be one of .'TPE'"):
        OptunaSearcher(sampler="GP")
    with pytest.raises(ValueError, match="heartbeat_s=0.5 must be whole numbers"):
        OptunaSearcher(heartbeat_s=0.5)
    keep = SearchSpace([KeepChannels("out", 4)])
    with pytest.raises(ValueError, match="'out' is a KeepChannels, which has none"):
        OptunaSearcher().start(keep, CostLimits(), work_dir=tmp_path)
    match = "No Subnet was found that meets the whole budget: macs from 15 to 16"
    with pytest.raises(ValueError, match=match):
        started(tmp_path, dict(macs=(15, 16), params=(15, 20))).ask()
