"""Find out that a file cannot be written before what goes into it is computed."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def check_writable(path: str | Path) -> None:
    """Check that a file can be written.

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
    check_folder(path.parent)


def check_folder(path: str | Path) -> None:
    """Check that files can be written into a folder, which need not exist.

    Args:
        path: Of the folder.

    Raises:
        OSError: If it, or a part of the path, is a file, or takes no files.
    """
    path = Path(path)
    known = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not known.is_dir():
        raise _os_error(errno.ENOTDIR, known)
    if not os.access(known, os.W_OK):
        read_only = os.statvfs(known).f_flag & os.ST_RDONLY
        raise _os_error(errno.EROFS if read_only else errno.EACCES, known)


def _os_error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
