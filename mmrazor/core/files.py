"""Files that are either whole or absent."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
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
        >>> path = write_json(Path(tempfile.mkdtemp()) / 'a.json', [1])
        >>> read_text(path, most_bytes=3)
        Traceback (most recent call last):
        ValueError: it has more than 3 bytes, the most that such a file may have
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


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Write a file under a temporary name beside it, then rename it into place.

    A reader, or a run that was killed, sees the old file or the new one, never half
    of one.

    Args:
        path: Where the file is wanted; missing parent folders are made.
        write: Writes the whole content to the path it is given, which has the same
            suffix as ``path``.

    Returns:
        The path written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_atomically(folder / 'a.txt', lambda p: p.write_text('hi')).read_text()
        'hi'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
    )
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_json(path: str | Path, data: Any) -> Path:
    """Write plain data as JSON, as :func:`write_atomically` writes.

    Args:
        path: Where the file is wanted.
        data: Dicts, lists, texts, numbers.

    Returns:
        The path written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'a.json'
        >>> json.loads(write_json(path, {'macs': 3}).read_text())
        {'macs': 3}
    """
    text = json.dumps(data, indent=2) + "\n"
    return write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))
