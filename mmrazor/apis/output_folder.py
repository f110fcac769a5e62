"""Find out that a folder takes no files before what goes into it is computed."""

from __future__ import annotations

import errno
import os
from pathlib import Path


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
