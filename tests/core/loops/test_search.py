"""The search without a model: state, resuming, ranks, failures."""

from __future__ import annotations

import json
import multiprocessing
import signal
import socket
import time
from pathlib import Path

import pytest

from mmrazor.core.loops.search import Search
from mmrazor.core.searchers import CostLimits, EvolutionSearcher, RandomSearcher
from tests.core.loops.toy_search import main, summary, toy_score, toy_search, toy_space

HALVED = dict(parts=[0.25, 1.0], keep=0.5)


def start(*arguments):
    """Run the toy search in a process of its own, forked so that it starts at once."""
    process = multiprocessing.get_context("fork").Process(target=main, args=arguments)
    process.start()
    return process


def exit_codes(processes):
    for process in processes:
        process.join(timeout=120)
    return [process.exitcode for process in processes]


def finished(kind="evolution", **settings):
    search = toy_search(kind, **settings)
    return json.loads(json.dumps(summary(search, search.run())))


def test_failures_are_recorded_and_the_search_goes_on():
    search = toy_search()
    best = search.run(3)
    failed = [e for e in search.evaluations if e.error]
    assert failed
    assert all(e.error == "RuntimeError: width 4 does not run" for e in failed)
    assert all(e.subnet.choices["a"] == 4 and not e.subnet.score for e in failed)
    fine = [e.subnet for e in search.evaluations if not e.error]
    assert best[0].score["acc"] == max(toy_score(s.choices)["acc"] for s in fine)
    assert all(30 <= s.cost["macs"] <= 60 for s in fine)
    assert len({tuple(e.subnet.choices.items()) for e in search.evaluations}) == 24
    batches = [e.batch for e in search.evaluations]
    assert batches == sorted([1, 2, 3, 4] * 6)


@pytest.mark.parametrize("kind", ["evolution", "pareto", "predictor"])
@pytest.mark.parametrize("settings", [{}, HALVED])
def test_interrupted_anywhere_it_ends_the_same(kind, settings, tmp_path):
    whole = finished(kind, **settings)
    for stop in range(1, len(whole[1]), 3):
        count = 0

        def evaluate(values, part, stop=stop):
            nonlocal count
            count += 1
            if count == stop:
                raise KeyboardInterrupt
            return toy_score(values, part)

        folder = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            toy_search(kind, evaluate, work_dir=folder, **settings).run()
        search = toy_search(kind, work_dir=folder, resume=True, **settings)
        assert len(search.evaluations) == stop - 1
        assert json.loads(json.dumps(summary(search, search.run()))) == whole


@pytest.mark.parametrize("settings", [{}, HALVED])
def test_killed_for_real_again_and_again(settings, tmp_path):
    out = tmp_path / "out.json"
    given = json.dumps({**settings, "resume": True})
    codes = []
    while not out.exists():
        codes += exit_codes([start(tmp_path / "state", out, "evolution", given, 9)])
    whole = finished(**settings)
    assert codes == [-signal.SIGKILL] * (len(codes) - 1) + [0]
    assert len(codes) > 2
    assert json.loads(out.read_text()) == whole
    # only what was being evaluated when it was killed is evaluated again
    log = (tmp_path / "out.json.log").read_text().splitlines()
    assert len(log) == len(whole[1]) + len(codes) - 1


def test_a_line_that_was_cut_off_is_evaluated_again(tmp_path):
    whole = finished(work_dir=tmp_path)
    file = tmp_path / "search.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    assert finished(work_dir=tmp_path, resume=True) == whole
    assert len(file.read_text().splitlines()) == len(whole[1])


def test_a_finished_search_is_only_read(tmp_path):
    whole = finished(work_dir=tmp_path)

    def evaluate(values, part):
        raise AssertionError("evaluated again")

    search = toy_search("evolution", evaluate, work_dir=tmp_path, resume=True)
    assert json.loads(json.dumps(summary(search, search.run()))) == whole


def test_a_search_is_not_overwritten(tmp_path):
    finished(work_dir=tmp_path)
    with pytest.raises(FileExistsError, match=r"search.json' is the state of a search"):
        toy_search(work_dir=tmp_path)
    with pytest.raises(ValueError, match="has type 'EvolutionSearcher', this search"):
        toy_search("pareto", work_dir=tmp_path, resume=True)
    for text in ("", "[]", '{"format": "x"}', '{"format": "mmrazor.search/1"}'):
        (tmp_path / "search.json").write_text(text)
        with pytest.raises(ValueError, match="are no state of a search over"):
            toy_search(work_dir=tmp_path, resume=True)


@pytest.mark.dist
@pytest.mark.parametrize("settings", [{}, HALVED])
def test_two_processes_find_what_one_does(settings, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    outs = [tmp_path / f"{rank}.json" for rank in range(2)]
    processes = [
        start("-", out, "evolution", json.dumps(settings), 0, 0, f"{rank}:2:{port}")
        for rank, out in enumerate(outs)
    ]
    assert exit_codes(processes) == [0, 0]
    first, second = (json.loads(out.read_text()) for out in outs)
    assert first == finished(**settings)
    assert second == [first[0], []]
    logs = [Path(f"{out}.log").read_text().splitlines() for out in outs]
    assert sum(map(len, logs)) == len(first[1])
    assert abs(len(logs[0]) - len(logs[1])) <= 8  # one for each batch and part


@pytest.mark.dist
def test_an_error_ends_all_ranks(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    bad = json.dumps({"resume": False})
    (tmp_path / "search.json").write_text("{}")
    processes = [
        start(tmp_path, tmp_path / "out", "evolution", bad, 0, 0, f"{rank}:2:{port}")
        for rank in range(2)
    ]
    assert exit_codes(processes) == [1, 1]


def test_halving_by_hand():
    space, asked = toy_space(), []

    def evaluate(values, part):
        asked.append((space.key(values), part))
        return {"score": float(values["a"]) + part * sum(values.values())}

    searcher = RandomSearcher(16)
    search = Search(space, searcher, evaluate, parts=(0.25, 0.5, 1), keep=0.25)
    best = search.run(20)
    first, second, last = (
        [key for key, part in asked if part == one] for one in (0.25, 0.5, 1)
    )
    assert [len(keys) for keys in (first, second, last)] == [16, 4, 1]

    def ranked(keys, part):  # stable: the first of equals goes on
        return sorted(keys, key=lambda key: -(key[0] + part * sum(key)))

    assert second == sorted(ranked(first, 0.25)[:4], key=first.index)
    assert last == ranked(second, 0.5)[:1]
    assert [space.key(subnet.choices) for subnet in best] == last


def test_when_nothing_can_be_evaluated():
    def evaluate(values, part):
        raise MemoryError("no room")

    search = toy_search("evolution", evaluate)
    match = "None of the first 20 Subnets could be evaluated.* MemoryError: no room"
    with pytest.raises(RuntimeError, match=match):
        search.run()
    assert len(search.evaluations) == 20


@pytest.mark.parametrize("score", [{"acc": float("nan")}, {}, {"acc": "high"}])
def test_scores_that_are_none(score):
    search = toy_search("evolution", lambda values, part: score)
    with pytest.raises(RuntimeError, match="scores must be finite numbers, got"):
        search.run()


def test_a_metric_that_is_not_there_ends_the_search_at_once():
    search = toy_search("evolution", lambda values, part: {"top1": 1.0})
    with pytest.raises(ValueError, match=r"looks for \['acc'\], .* \['macs', 'top1'\]"):
        search.run()
    assert len(search.evaluations) == 1


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (dict(parts=[]), "must be shares of the validation set"),
        (dict(parts=[0.5]), "the last of them 1, such as"),
        (dict(parts=[0.5, 0.25, 1]), "ascending"),
        (dict(parts=[0, 1]), "ascending"),
        (dict(keep=1), r"keep=1 must be in \(0, 1\)"),
    ],
)
def test_parts_that_cannot_be(settings, match):
    with pytest.raises(ValueError, match=match):
        toy_search(**settings)


def test_the_bar_is_shown(capsys):
    toy_search(progress=True).run()
    text = capsys.readouterr().out
    assert "best acc 100" in text or "best acc 9" in text
    assert "candidates/s" in text
    assert "24/24" in text


def test_the_loop_adds_little():
    """What it takes beside the evaluation, as CPU time on a busy machine."""
    searcher = EvolutionSearcher(20, 10, 5, 10, 10)
    search = Search(
        toy_space(),
        searcher,
        lambda v, p: {"score": sum(v.values())},
        limits=CostLimits(),
    )
    begin = time.process_time()
    search.run()
    assert (time.process_time() - begin) / len(search.evaluations) < 0.02
