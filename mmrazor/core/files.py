"""Files that are either whole or absent."""

from __future__ import annotations

import errno
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


def check_writable(path: str | Path) -> None:
    """Check that a file can be written, before what goes into it is computed.

    Args:
        path: Where the file is wanted; parent folders need not exist.

    Raises:
        OSError: If a folder has that name, a part of the path is a file, or the folder
            takes no files.

    Example:
        >>> check_writable('/')
        Traceback (most recent call last):
        IsADirectoryError: [Errno 21] Is a directory: '/'
    """
    path = Path(path)
    if path.is_dir():
        raise _os_error(errno.EISDIR, path)
    folder = next(one for one in path.absolute().parents if one.exists())
    if not folder.is_dir():
        raise _os_error(errno.ENOTDIR, folder)
    if not os.access(folder, os.W_OK):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        raise _os_error(errno.EROFS if read_only else errno.EACCES, folder)


def _os_error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))


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
