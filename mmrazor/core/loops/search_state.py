"""What a search has done so far, on disk: nothing that was evaluated is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from ..bounded import read_json
from ..files import write_atomically
from ..searchers.rows import subnet_from_row, subnet_row, values_from_row, values_row
from ..space import SearchSpace, Subnet
from .crash_note import read_note

FORMAT = "mmrazor.search/1"
_MOST_BYTES = 2**30  # a searcher keeps all that was evaluated


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a Subnet.

    Args:
        subnet: With its cost, and with its score if there is one.
        error: Why there is none.
        part: Share of the validation set.
        batch: Number of the batch, from 1: the generation, step or trial.
        seconds: What it took.
    """

    subnet: Subnet
    error: str | None = None
    part: float = 1.0
    batch: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class Attempt:
    """How often the evaluation of a Subnet was begun.

    Args:
        values: One for every Choice.
        part: Share of the validation set.
        count: Begun so often without an end.
        reason: Why there was none the last time; empty while it is evaluated.
    """

    values: Mapping[str, Any]
    part: float
    count: int
    reason: str = ""


@final
class SearchState:
    """The files of a search.

    ``search.json`` holds the searcher as it was when it opened its current batch, and
    is replaced as a whole. ``search.jsonl`` has a line for each evaluation, appended
    and flushed to disk; a line that was cut off by a crash is not read.
    ``search.round.json`` says how many lines there were when the ranks last began to
    evaluate, and what: it is how a lost line and a deadly Subnet are noticed.

    Args:
        folder: Where they are.
        space: What is searched.
    """

    def __init__(self, folder: str | Path, space: SearchSpace) -> None:
        self.space = space
        self.searcher_file = Path(folder) / "search.json"
        self.evaluations_file = Path(folder) / "search.jsonl"
        self.round_file = Path(folder) / "search.round.json"

    def exists(self) -> bool:
        """Return whether a search was begun here."""
        return self.searcher_file.exists()

    def write_searcher(self, state: dict[str, Any], num_evaluations: int) -> None:
        """Replace the state of the searcher.

        Args:
            state: Of the searcher.
            num_evaluations: Lines there are in the other file.
        """
        data = {"format": FORMAT, "searcher": state, "evaluations": num_evaluations}
        _write_json(self.searcher_file, data)

    def read_searcher(self) -> dict[str, Any]:
        """Return the state of the searcher.

        Raises:
            ValueError: If the file is no such state.
        """
        try:
            return dict(self._read_json(self.searcher_file)["searcher"])
        except (ValueError, KeyError, TypeError) as err:
            raise ValueError(self._faulty()) from err

    def begin_round(
        self,
        num_evaluations: int,
        running: Sequence[Attempt],
        died: Sequence[Attempt] = (),
    ) -> None:
        """Note what the ranks begin to evaluate now.

        Args:
            num_evaluations: Lines there are in the file of evaluations.
            running: What is evaluated, by rank.
            died: What else was begun before and not ended.
        """
        data = {
            "format": FORMAT,
            "evaluations": num_evaluations,
            "running": [self._attempt_row(one) for one in running],
            "died": [self._attempt_row(one) for one in died],
        }
        _write_json(self.round_file, data)

    def attempts(self) -> list[Attempt]:
        """Return what was begun and not ended, with why, as far as it is known.

        What was running on a rank that was stopped, and did not die, counts no more
        than before.

        Raises:
            ValueError: If the file cannot be read.
        """
        if not self.round_file.exists():
            return []
        try:
            data = self._read_json(self.round_file)
            died = [self._attempt(row) for row in data["died"]]
            running = [self._attempt(row) for row in data["running"]]
        except (ValueError, KeyError, TypeError) as err:
            raise ValueError(self._faulty()) from err
        for rank, one in enumerate(running):
            reason = read_note(self.round_file.parent, rank)
            if reason is not None:
                died.append(replace(one, reason=reason))
            elif one.count > 1:
                died.append(replace(one, count=one.count - 1))
        return died

    def add(self, evaluations: list[Evaluation]) -> None:
        """Append evaluations; they are on disk on return."""
        rows = [
            [subnet_row(self.space, e.subnet), e.error, e.part, e.batch, e.seconds]
            for e in evaluations
        ]
        self.evaluations_file.parent.mkdir(parents=True, exist_ok=True)
        with self.evaluations_file.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())

    def evaluations(self) -> list[Evaluation]:
        """Return all evaluations, in order; a last line that was cut off is removed.

        Raises:
            ValueError: If another line cannot be read, or lines are missing.
        """
        file = self.evaluations_file
        content = file.read_bytes() if file.exists() else b""
        whole, _, rest = content.rpartition(b"\n")
        try:
            found = list(self._read(whole.decode("utf-8")))
        except (ValueError, TypeError, RecursionError) as err:
            raise ValueError(self._faulty()) from err
        self._check_number(len(found))
        if rest:
            with file.open("r+b") as opened:
                opened.truncate(len(whole) + bool(whole))
        return found

    def clear(self) -> None:
        """Remove all files."""
        self.searcher_file.unlink(missing_ok=True)
        self.evaluations_file.unlink(missing_ok=True)
        self.round_file.unlink(missing_ok=True)
        for note in self.round_file.parent.glob("search.rank*.note"):
            note.unlink()

    def _check_number(self, found: int) -> None:
        """Raise if there are fewer lines than were known to be on disk."""
        try:
            wanted = self._read_json(self.searcher_file).get("evaluations")
            lost = wanted is not None and not self.round_file.exists()
            if wanted is not None and not lost:
                wanted = max(wanted, self._read_json(self.round_file)["evaluations"])
        except (ValueError, TypeError, KeyError) as err:
            raise ValueError(self._faulty()) from err
        if wanted is None:  # earlier versions did not count
            return
        if lost:
            raise ValueError(
                f"'{self.round_file}' is lost, which says how many evaluations the "
                "search had done. Bring it back from a copy, or search anew in another "
                "folder."
            )
        if found < wanted:
            raise ValueError(
                f"'{self.evaluations_file}' has {found} evaluations, and the search "
                f"had done {wanted}: lines are lost. Bring the file back from a copy, "
                "or search anew in another folder."
            )

    def _read_json(self, file: Path) -> dict[str, Any]:
        data = read_json(file, most_bytes=_MOST_BYTES)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"no {FORMAT}")
        return data

    def _attempt_row(self, one: Attempt) -> list[Any]:
        return [values_row(self.space, one.values), one.part, one.count, one.reason]

    def _attempt(self, row: Sequence[Any]) -> Attempt:
        values, part, count, reason = row
        return Attempt(values_from_row(self.space, values), part, count, reason)

    def _read(self, text: str) -> Iterator[Evaluation]:
        for line in text.splitlines():
            row, *others = json.loads(line)
            yield Evaluation(subnet_from_row(self.space, row), *others)

    def _faulty(self) -> str:
        return (
            f"'{self.searcher_file}' and '{self.evaluations_file.name}' beside it are "
            "no state of a search over this space. Resume with the config that it was "
            "begun with, or search anew in another folder."
        )


def _write_json(file: Path, data: dict[str, Any]) -> None:
    text = json.dumps(data) + "\n"
    write_atomically(file, lambda p: p.write_text(text, encoding="utf-8"))
