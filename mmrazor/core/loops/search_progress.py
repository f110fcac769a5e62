"""A progress bar of a search: the best so far, candidates per second, time left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from ..searchers import Searcher
from ..space import Subnet
from .search_state import Evaluation


@final
class SearchProgress:
    """Show how far a search is.

    Args:
        searcher: Says how many evaluations there will be, and what is better.
        shown: Whether anything is shown.
        console: Where. None: rich's own choice.
    """

    def __init__(
        self, searcher: Searcher, shown: bool, console: Console | None = None
    ) -> None:
        self.searcher = searcher
        self._best: Subnet | None = None
        self._begin, self._count, self._failed = time.perf_counter(), 0, 0
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[speed]}", markup=False),
            console=console,
            disable=not shown,
        )
        self._task = self._bar.add_task("search", total=searcher.total, speed="")

    def __enter__(self) -> SearchProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, evaluations: Sequence[Evaluation], new: bool = True) -> None:
        """Take in evaluations that are done.

        Args:
            evaluations: Since the last call.
            new: Whether they were done now and count for the speed.
        """
        if self._bar.disable or not evaluations:
            return
        name = self.searcher.objectives[0][0]
        for one in evaluations:
            self._failed += one.error is not None
            # A metric that nobody gives is the search's affair: it says so.
            known = one.subnet.cost.keys() | one.subnet.score.keys()
            if one.error is None and one.part == 1 and name in known:
                self._best = self._better(one.subnet)
        self._count += len(evaluations) * new
        speed = self._count / (time.perf_counter() - self._begin)
        self._bar.update(
            self._task,
            advance=len(evaluations),
            description=self._described(),
            speed=f"{speed:.2f} candidates/s",
        )

    def _better(self, subnet: Subnet) -> Subnet:
        name, way = self.searcher.objectives[0]
        if self._best is None:
            return subnet
        old, new = ({**s.cost, **s.score}[name] for s in (self._best, subnet))
        return subnet if (new > old) == (way == "max") and new != old else self._best

    def _described(self) -> str:
        text = "search"
        if self._best is not None:
            name = self.searcher.objectives[0][0]
            text = f"best {name} {({**self._best.cost, **self._best.score})[name]:.6g}"
        return text + (f", {self._failed} failed" if self._failed else "")
