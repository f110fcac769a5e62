# rich reads "[red]" or "[/]" in a text as markup, and ":fire:" as a picture: a folder
# of such a name would lose them, or end a tool when all its work is done.
"""A table for the console that shows every text as it is."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text


class PlainTable(Table):
    """A rich ``Table`` without markup in its cells, headers, title and caption.

    Args:
        title: Shown above.
        caption: Shown below.
        **options: As for ``Table``.

    Example:
        >>> from rich.console import Console
        >>> table = PlainTable('file')
        >>> table.add_row('runs/[red]/net.py')
        >>> with (console := Console(width=30)).capture() as shown:
        ...     console.print(table)
        >>> 'runs/[red]/net.py' in shown.get()
        True
    """

    def __init__(
        self,
        *headers: Any,
        title: Any = None,
        caption: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            title=_plain(title, "table.title"),
            caption=_plain(caption, "table.caption"),
            **options,
        )
        for header in headers:
            self.add_column(header)

    def add_column(self, header: Any = "", *args: Any, **options: Any) -> None:
        """Add a column; its header is no markup."""
        super().add_column(_plain(header), *args, **options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row; its texts are no markup."""
        super().add_row(*map(_plain, cells), **options)


def _plain(value: Any, style: str = "") -> Any:
    return Text(value, style=style) if isinstance(value, str) else value
