# A file that is read may have been written by anybody: how large it is comes first.
"""Read files of bounded size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 2**20


def read_text(path: str | Path, most_bytes: int = MOST_BYTES) -> str:
    """Return the text of a file that may not be larger than it can reasonably be.

    Args:
        path: The file.
        most_bytes: The most that it may hold; no more than that is read.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger, or no text in UTF-8.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'a.json'
        >>> path.write_text('[1]')
        3
        >>> read_json(path)
        [1]
        >>> read_text(path, most_bytes=2)
        Traceback (most recent call last):
        ValueError: it has more than 2 bytes, the most that such a file may have
    """
    with Path(path).open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(
            f"it has more than {most_bytes} bytes, the most that such a file may have"
        )
    return content.decode("utf-8")


def read_json(path: str | Path, most_bytes: int = MOST_BYTES) -> Any:
    """Return what a JSON file of bounded size holds.

    Args:
        path: The file.
        most_bytes: The most that it may hold.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger, no JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(read_text(path, most_bytes))
    except RecursionError as err:
        raise ValueError("it is nested too deeply") from err
