"""Candidates that end their process, or do not end: the search goes on without them."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import socket
import time
from collections import Counter
from pathlib import Path

import pytest
from torch import distributed

from mmrazor.core.loops.search import Search
from mmrazor.core.searchers import CostLimits, build_searcher
from tests.core.loops.toy_search import SEARCHERS, toy_costs, toy_score, toy_space

RANDOM = dict(type="RandomSearcher", num_subnets=8)
OPTUNA = {**SEARCHERS["optuna"], "num_subnets": 4}


def segfault():
    ctypes.string_at(0)


def hang_in_a_kernel():
    """Wait for a lock that this thread has, and hold the interpreter's all the time."""
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)


WAYS = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": segfault,
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "hang": lambda: time.sleep(60),
    "stuck": hang_in_a_kernel,
    "nothing": lambda: None,
}


def deadly(values):
    return values["a"] == 2


def searched(folder, searcher, way, evaluate=toy_score, **settings):
    """Return the search whose candidates with ``a == 2`` do something bad."""

    def evaluated(values, part):
        with (Path(folder) / f"log{os.getpid()}").open("a") as log:
            log.write(json.dumps(list(values.values())) + "\n")
        if deadly(values):
            WAYS[way]()
        return evaluate(values, part)

    limits = CostLimits(toy_costs, None, {"macs": (21, 84)})
    return Search(
        toy_space(),
        build_searcher(searcher),
        evaluated,
        limits=limits,
        metric="acc",
        work_dir=folder,
        resume=True,
        **settings,
    )


def work(folder, searcher, way, settings, world=None):
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    if world is not None:
        rank, size, port = world
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        distributed.init_process_group("gloo", rank=rank, world_size=size)
    search = searched(folder, searcher, way, **settings)
    search.run()
    if not distributed.is_initialized() or distributed.get_rank() == 0:
        rows = [[list(e.subnet.choices.values()), e.error] for e in search.evaluations]
        (Path(folder) / "done.json").write_text(json.dumps(rows))


def start(*arguments):
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process


def worked(folder, searcher, way, **settings):
    """Begin again until it is done; return the exit codes and what was evaluated."""
    codes = []
    while not (folder / "done.json").exists():
        assert len(codes) < 40, "without end"
        process = start(folder, searcher, way, settings)
        process.join(60)
        codes.append(process.exitcode)
    return codes, json.loads((folder / "done.json").read_text())


def times_begun(folder):
    texts = [log.read_text() for log in folder.glob("log*")]
    return Counter(line for text in texts for line in text.splitlines())


@pytest.mark.parametrize(
    ("way", "signal_of", "told"),
    [
        ("killed", signal.SIGKILL, "SIGKILL, as when memory runs out"),
        ("segfault", signal.SIGSEGV, "SIGSEGV, at "),
        ("abort", signal.SIGABRT, "SIGABRT, at test_deadly_candidates.py:"),
        ("exit", None, "or an exit without a word"),
    ],
)
@pytest.mark.parametrize("searcher", [RANDOM, SEARCHERS["evolution"]])
def test_after_three_times_it_is_a_failure(tmp_path, way, signal_of, told, searcher):
    codes, rows = worked(tmp_path, searcher, way)
    died = [error for values, error in rows if values[0] == 2]
    assert died
    assert all("3 processes died while they evaluated it" in e for e in died)
    assert all(told in e for e in died)
    assert codes == [-signal_of if signal_of else 3] * (3 * len(died)) + [0]
    counts = times_begun(tmp_path)
    for values, _ in rows:
        assert counts[json.dumps(values)] == (3 if values[0] == 2 else 1)


def test_the_others_score_as_if_it_had_only_failed(tmp_path):
    def fails(values, part):
        if deadly(values):
            raise RuntimeError("as expected")
        return toy_score(values, part)

    searcher = build_searcher(SEARCHERS["evolution"])
    limits = CostLimits(toy_costs, None, {"macs": (21, 84)})
    whole = Search(toy_space(), searcher, fails, limits=limits, metric="acc")
    whole.run()
    _, rows = worked(tmp_path, SEARCHERS["evolution"], "killed")
    expected = [list(e.subnet.choices.values()) for e in whole.evaluations]
    assert [values for values, _ in rows] == expected


def test_stopped_is_not_died(tmp_path):
    def stop(values, part):
        raise KeyboardInterrupt

    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            searched(tmp_path, RANDOM, "nothing", stop).run()
    search = searched(tmp_path, RANDOM, "nothing")
    search.run()
    assert len(search.evaluations) == 8
    assert not any(e.error and "died" in e.error for e in search.evaluations)


@pytest.mark.parametrize("searcher", [RANDOM, OPTUNA])
def test_a_candidate_that_hangs_is_interrupted(tmp_path, searcher):
    search = searched(tmp_path, searcher, "hang", time_limit_s=0.2)
    begin = time.monotonic()
    search.run()
    assert time.monotonic() - begin < 30
    late = [e for e in search.evaluations if deadly(e.subnet.choices)]
    assert late
    assert all(e.error == "TimeLimitError: it took longer than 0.2 s" for e in late)
    others = [e for e in search.evaluations if not deadly(e.subnet.choices)]
    assert all(e.error is None or "width 4" in e.error for e in others)


def test_one_that_cannot_be_interrupted_ends_the_process_once(tmp_path, monkeypatch):
    monkeypatch.setattr("mmrazor.core.loops.time_limit._GRACE_S", 0.2)
    codes, rows = worked(tmp_path, RANDOM, "stuck", time_limit_s=0.2)
    stuck = [error for values, error in rows if values[0] == 2]
    assert stuck
    assert codes == [1] * len(stuck) + [0]
    assert all("did not end within its time limit, at" in error for error in stuck)


@pytest.mark.dist
def test_of_two_ranks_the_deadly_one_is_found(tmp_path):
    for _ in range(30):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        processes = [
            start(tmp_path, RANDOM, "killed", {}, (rank, 2, port)) for rank in (0, 1)
        ]
        while any(process.exitcode is None for process in processes):
            time.sleep(0.05)
            if any(process.exitcode for process in processes):
                for process in processes:
                    process.join(2)
                    process.kill()
        if all(process.exitcode == 0 for process in processes):
            break
    rows = json.loads((tmp_path / "done.json").read_text())
    assert len(rows) == 8
    for values, error in rows:
        if values[0] == 2:
            assert "3 processes died" in error
        else:
            assert error is None or "width 4" in error


def test_workers_that_share_a_study_lose_three_of_them_at_most(tmp_path):
    searcher = {**OPTUNA, "storage": f"sqlite:///{tmp_path / 'study.db'}"}
    died = 0
    for number in range(30):
        folder = tmp_path / f"worker{number}"
        folder.mkdir()
        process = start(folder, searcher, "killed", {})
        process.join(60)
        if process.exitcode == 0:
            break
        died += 1
    rows = json.loads((folder / "done.json").read_text())
    logs = [times_begun(tmp_path / f"worker{i}") for i in range(died + 1)]
    begun = {line for log in logs for line in log if json.loads(line)[0] == 2}
    assert died == 3 * len(begun)
    failed = {json.dumps(v): e for v, e in rows if v[0] == 2}
    assert all("3 processes died" in error for error in failed.values())
    assert process.exitcode == 0


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_limits_that_are_none(tmp_path, limit):
    with pytest.raises(ValueError, match=r"time_limit_s=.* must be seconds above 0"):
        searched(tmp_path, RANDOM, "hang", time_limit_s=limit)
