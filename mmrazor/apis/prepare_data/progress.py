"""Progress shown on standard error while data is prepared, if it is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

T = TypeVar("T")

console = Console(stderr=True)


@contextmanager
def download_progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a download; gives a function that is told each number of bytes.

    Args:
        title: Shown before the bar.
        total: Size in bytes, 0 when it is not known.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(title, total=total or None)
        yield lambda num_bytes: progress.advance(task, num_bytes)


@contextmanager
def waiting(title: str) -> Iterator[None]:
    """Show that a command runs."""
    with console.status(Text(title)) if console.is_terminal else nullcontext():
        yield


def tracked(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    """Yield the items under a progress bar.

    Args:
        items: What to go through.
        total: How many there are.
        title: Shown before the bar.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield from progress.track(items, total=total, description=title)
