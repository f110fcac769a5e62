"""Files that are either whole or absent."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
