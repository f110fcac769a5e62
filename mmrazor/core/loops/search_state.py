"""What a search has done so far, on disk: nothing that was evaluated is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ..files import write_atomically
from ..searchers.rows import subnet_from_row, subnet_row
from ..space import SearchSpace, Subnet

FORMAT = "mmrazor.search/1"


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


@final
class SearchState:
    """The files of a search.

    ``search.json`` holds the searcher as it was when it opened its current batch, and
    is replaced as a whole. ``search.jsonl`` has a line for each evaluation, appended
    and flushed to disk; a line that was cut off by a crash is not read.

    Args:
        folder: Where they are.
        space: What is searched.
    """

    def __init__(self, folder: str | Path, space: SearchSpace) -> None:
        self.space = space
        self.searcher_file = Path(folder) / "search.json"
        self.evaluations_file = Path(folder) / "search.jsonl"

    def exists(self) -> bool:
        """Return whether a search was begun here."""
        return self.searcher_file.exists()

    def write_searcher(self, state: dict[str, Any]) -> None:
        """Replace the state of the searcher."""
        text = json.dumps({"format": FORMAT, "searcher": state})
        write_atomically(self.searcher_file, lambda p: p.write_text(text + "\n"))

    def read_searcher(self) -> dict[str, Any]:
        """Return the state of the searcher.

        Raises:
            ValueError: If the file is no such state.
        """
        try:
            data = json.loads(self.searcher_file.read_text(encoding="utf-8"))
            if data["format"] == FORMAT:
                return dict(data["searcher"])
        except (ValueError, KeyError, TypeError) as err:
            raise ValueError(self._faulty()) from err
        raise ValueError(self._faulty())

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
            ValueError: If another line cannot be read.
        """
        if not self.evaluations_file.exists():
            return []
        whole, _, rest = self.evaluations_file.read_bytes().rpartition(b"\n")
        if rest:
            with self.evaluations_file.open("r+b") as file:
                file.truncate(len(whole) + bool(whole))
        try:
            return list(self._read(whole.decode("utf-8")))
        except (ValueError, TypeError) as err:
            raise ValueError(self._faulty()) from err

    def clear(self) -> None:
        """Remove both files."""
        self.searcher_file.unlink(missing_ok=True)
        self.evaluations_file.unlink(missing_ok=True)

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
