# A lock by flock is the kernel's: it ends with the process that holds it, however that
# ends, so nothing has to be cleaned up before the next one can take it.
"""Locks on files that end with the process that holds them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

_held: set[int] = set()


def _leave_to_the_parent() -> None:
    """Close the locks in a forked child, or it would hold them beyond the parent."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_the_parent)


class FileLock:
    """A file that this process alone holds, from :meth:`taken` to :meth:`release`.

    Args:
        path: The file.
        handle: The open file.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self._owner = os.getpid()
        _held.add(handle)

    @classmethod
    def taken(cls, path: Path, note: str = "", new: bool = False) -> FileLock | None:
        """Lock a file, which is made if it is not there.

        A link in its place is not followed.

        Args:
            path: The file; its folder exists.
            note: What the file is to say of the process that holds it.
            new: Whether the file must not be there yet.

        Returns:
            The lock, or None if a living process holds it.

        Raises:
            OSError: If the file cannot be made or opened; ``FileExistsError`` for one
                that must be new.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp()) / 'lock'
            >>> lock = FileLock.taken(path, 'me')
            >>> FileLock.taken(path) is None, path.read_text()
            (True, 'me')
            >>> lock.release()
            >>> path.exists()
            False
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | (os.O_EXCL if new else 0)
        while True:
            handle = os.open(path, flags, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return None
            except BaseException:
                os.close(handle)
                raise
            if _is_at(handle, path):
                break
            os.close(handle)  # its holder removed it just before it let it go
        lock = cls(path, handle)
        try:
            if note:
                os.ftruncate(handle, 0)
                os.pwrite(handle, note.encode(), 0)
        except BaseException:
            lock.release()
            raise
        return lock

    def release(self, remove: bool = True) -> None:
        """Let the file go; in a forked child nothing happens.

        Args:
            remove: Whether the file is removed too.
        """
        if self._handle not in _held or self._owner != os.getpid():
            return
        with contextlib.suppress(OSError):
            if remove and _is_at(self._handle, self.path):
                self.path.unlink()
        _held.discard(self._handle)
        os.close(self._handle)


def _is_at(handle: int, path: Path) -> bool:
    """Return whether an open file still has that name."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False
