"""Say what a long job is doing, and how long each part took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Advance = Callable[[], None]


class Steps:
    """Shows the step that runs, and a line for each that is done.

    Args:
        console: Where; ``None`` shows nothing. A console that is no terminal gets the
            lines alone.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(quiet=True)

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Advance]:
        """Show a step while the ``with`` block runs.

        Args:
            title: What is done.
            total: Number of parts, if they can be counted; shows the time left.

        Yields:
            A function to call after each part.

        Example:
            >>> with Steps().step('counting', total=2) as advance:
            ...     advance()
        """
        start = time.perf_counter()
        bar = [BarColumn(), TimeRemainingColumn()] if total else [TimeElapsedColumn()]
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            *bar,
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        ) as progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)
        self.say(f"{title}: {time.perf_counter() - start:.1f} s")

    def say(self, line: str) -> None:
        """Show a line as it is: names in it are no markup."""
        self.console.print(Text(line))
