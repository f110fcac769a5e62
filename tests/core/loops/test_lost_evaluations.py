"""A search whose files lost something is not resumed as if nothing was lost."""

from __future__ import annotations

import json

import pytest

from tests.core.loops.toy_search import toy_score, toy_search


@pytest.fixture
def stopped(tmp_path):
    """Return the folder of a search that was stopped at its twentieth evaluation."""
    count = 0

    def evaluate(values, part):
        nonlocal count
        count += 1
        if count == 20:
            raise KeyboardInterrupt
        return toy_score(values, part)

    with pytest.raises(KeyboardInterrupt):
        toy_search("evolution", evaluate, work_dir=tmp_path).run()
    return tmp_path


def resumed(folder):
    return toy_search(work_dir=folder, resume=True)


def halved(content):
    return content[: len(content) // 2]


def without_first_line(content):
    return content[content.index(b"\n") + 1 :]


def without_middle_lines(content):
    lines = content.splitlines(keepends=True)
    return b"".join(lines[:5] + lines[8:])


@pytest.mark.parametrize("damage", [halved, without_first_line, without_middle_lines])
def test_lines_that_are_missing(stopped, damage):
    file = stopped / "search.jsonl"
    left = damage(file.read_bytes())
    file.write_bytes(left)
    with pytest.raises(ValueError, match=r"has \d+ evaluations, and the search had"):
        resumed(stopped)
    assert file.read_bytes() == left  # nothing more is lost by trying


def test_a_log_that_is_gone(stopped):
    (stopped / "search.jsonl").unlink()
    with pytest.raises(ValueError, match="has 0 evaluations.* had done 19"):
        resumed(stopped)


def test_a_count_that_is_gone(stopped):
    (stopped / "search.round.json").unlink()
    with pytest.raises(ValueError, match=r"search.round.json' is lost, which says how"):
        resumed(stopped)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "mmrazor.search/1"}'])
def test_a_count_that_cannot_be_read(stopped, text):
    (stopped / "search.round.json").write_text(text)
    with pytest.raises(ValueError, match="are no state of a search over"):
        resumed(stopped)


def test_a_state_of_an_earlier_version_is_resumed(stopped):
    file = stopped / "search.json"
    state = json.loads(file.read_text())
    del state["evaluations"]
    file.write_text(json.dumps(state))
    (stopped / "search.round.json").unlink()
    search = resumed(stopped)
    search.run()
    assert len(search.evaluations) == 24


def test_lines_that_are_nested_without_end(stopped):
    file = stopped / "search.jsonl"
    file.write_text("[" * 100_000 + "\n" + file.read_text())
    with pytest.raises(ValueError, match="are no state of a search over"):
        resumed(stopped)


def test_a_study_that_lost_trials(tmp_path):
    def evaluate(values, part):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy_search("optuna", evaluate, work_dir=tmp_path).run()
    (tmp_path / "optuna.db").unlink()
    for log in tmp_path.glob("optuna.db-*"):
        log.unlink()
    with pytest.raises(ValueError, match="has 0 trials, and this worker saw 1"):
        toy_search("optuna", work_dir=tmp_path, resume=True)
