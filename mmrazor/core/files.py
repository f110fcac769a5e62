# Everything is written in a hidden folder of its own beside its place, and renamed when
# it is whole and on the disk. A set of files is renamed one by one, so what was there
# before is kept in the hidden folder meanwhile: a fault takes it back, and the run
# after one that was killed completes what was begun.
"""Files, and sets of files, that are either whole or absent."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .locks import FileLock

_PREFIX, _LOCK = ".mmrazor-", ".lock"
_NEW, _OLD, _BEGUN = "new", "old", "begun.json"
_HINTS = {
    errno.ENOSPC: "Free some space on that disk, or choose another folder.",
    errno.EDQUOT: "Free some of your quota, or choose another folder.",
    errno.EACCES: "Choose a folder that you may write to, or change its permissions.",
    errno.EPERM: "Choose a folder that you may write to, or change its permissions.",
    errno.EROFS: "Choose a folder that is not mounted read-only.",
    errno.EISDIR: "Give the path of a file, or move that folder away.",
    errno.ENOTDIR: "It, or a folder on the way to it, is a file: give another.",
    errno.EEXIST: "It, or a folder on the way to it, is a file: give another.",
    errno.ENAMETOOLONG: "Give it a shorter name.",
    errno.EFBIG: "Choose a folder on a disk that takes files of that size.",
    errno.ENOENT: "Give a folder that exists, or that can be made.",
    errno.EIO: "Check that disk, or choose another folder.",
}


class FileWriteError(OSError):
    """A file cannot be written; the text names it, the cause and what to do.

    Args:
        path: The file, or the folder.
        err: What the system says.
    """

    def __init__(self, path: Path, err: OSError) -> None:
        self.path, self.cause = path, err
        reason = (err.strerror or str(err)).lower()
        hint = _HINTS.get(err.errno or 0, "Choose another folder.")
        super().__init__(f"'{path}' cannot be written: {reason}. {hint}")
        self.errno = err.errno


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Write a file under another name beside it, then rename it into place.

    A reader, or a run that was killed, sees the old file or the new one, never half
    of one. A link in its place is replaced; what it leads to stays as it is.

    Args:
        path: Where the file is wanted; missing parent folders are made.
        write: Writes the whole content to the path it is given, which has the same
            name as ``path`` in a folder of its own.

    Returns:
        The path written.

    Raises:
        FileWriteError: If it cannot be written: no space, no permission, a folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_atomically(folder / 'a.txt', lambda p: p.write_text('hi')).read_text()
        'hi'
    """
    path = Path(path)
    with _named(path):
        _refuse_folder(path)
        with _hidden_folder(path.parent) as hidden:
            write(hidden / path.name)
            _to_disk(hidden / path.name)
            os.replace(hidden / path.name, path)
            _to_disk(path.parent)
    return path


@contextmanager
def file_set(folder: str | Path, names: Sequence[str] = ()) -> Iterator[Path]:
    """Write files that belong together: all of them appear, or none.

    They are written in a folder of their own and moved when the ``with`` block ends.
    If it ends by an error, or a file cannot be moved, everything is as it was before.
    If the process is killed while they are moved, :func:`remove_leftovers` moves the
    rest.

    Args:
        folder: Where the files are wanted; it is made if it is missing.
        names: All that such a set may consist of. Of an earlier set, those that this
            one does not have are removed: no file of two sets is left beside another.

    Yields:
        The folder to write in. Its files keep their names; they may be read, and
        written again. What is in folders below it is not moved.

    Raises:
        FileWriteError: If a file cannot be written; it is named as it was to be.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with file_set(folder) as place:
        ...     _ = (place / 'a.txt').write_text('a')
        ...     _ = (place / 'b.txt').write_text('b')
        >>> sorted(path.name for path in folder.iterdir())
        ['a.txt', 'b.txt']
    """
    folder = Path(folder)
    with _named(folder):
        remove_leftovers(folder)
        with _hidden_folder(folder) as hidden:
            new = hidden / _NEW
            new.mkdir()
            yield new
            _move(hidden, folder, names)


@contextmanager
def made_folder(folder: str | Path) -> Iterator[Path]:
    """Make a folder; what is made and still empty when the block ends is removed.

    Args:
        folder: The folder; missing parents are made too.

    Yields:
        The folder.
    """
    folder = Path(folder)
    missing = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    finally:
        for one in missing:
            with contextlib.suppress(OSError):
                one.rmdir()


@contextmanager
def scratch_folder(parent: str | Path | None = None) -> Iterator[Path]:
    """Give an empty folder that is removed when the ``with`` block ends.

    If the process is killed, the next one that asks for such a folder there removes it.

    Args:
        parent: The folder that it lies in; default is the system's for temporary files.

    Yields:
        The folder.

    Example:
        >>> with scratch_folder() as folder:
        ...     folder.is_dir()
        True
        >>> folder.exists()
        False
    """
    parent = Path(tempfile.gettempdir() if parent is None else parent)
    with _named(parent):
        remove_leftovers(parent)
        with _hidden_folder(parent) as hidden:
            yield hidden


def remove_leftovers(folder: str | Path) -> None:
    """Clear what writers that were killed left in a folder.

    A set that was being moved is completed. What belongs to a living process stays, and
    so does everything that this module did not make.

    Args:
        folder: Where files are written; it need not exist.
    """
    folder = Path(folder)
    for path in sorted(folder.glob(f"{_PREFIX}*{_LOCK}")):
        try:
            lock = FileLock.taken(path)
        except OSError:  # a link, or of somebody else: not made here
            continue
        if lock is None:
            continue
        _clear(path.with_suffix(""), lock)


def check_writable(path: str | Path) -> None:
    """Check that a file can be written, before what goes into it is computed.

    Args:
        path: Where the file is wanted; parent folders need not exist.

    Raises:
        FileWriteError: If a folder has that name, a part of the path is a file, or the
            folder takes no files.

    Example:
        >>> check_writable('/')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mmrazor.core.files.FileWriteError: '/' cannot be written: is a directory. ...
    """
    path = Path(path)
    if path.is_dir():
        raise _unwritable(path, errno.EISDIR)
    check_folder(path.absolute().parent)


def check_folder(folder: str | Path) -> None:
    """Check that files can be written into a folder, which need not exist.

    Args:
        folder: Where they are wanted.

    Raises:
        FileWriteError: If it, or a part of the path, is a file, or takes no files.
    """
    folder = Path(folder).absolute()
    known = next(one for one in (folder, *folder.parents) if one.exists())
    if not known.is_dir():
        raise _unwritable(known, errno.ENOTDIR)
    if not os.access(known, os.W_OK):
        read_only = os.statvfs(known).f_flag & os.ST_RDONLY
        raise _unwritable(known, errno.EROFS if read_only else errno.EACCES)


def _unwritable(path: Path, number: int) -> FileWriteError:
    return FileWriteError(path, OSError(number, os.strerror(number), str(path)))


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


def write_tensors(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write a checkpoint as ``torch.save`` does, and as :func:`write_atomically`.

    Args:
        path: Where the file is wanted.
        content: What it holds.

    Returns:
        The path written.
    """

    def write(temporary: Path) -> None:
        # By a file of Python's: of a full disk torch's own says "unexpected pos" alone.
        with temporary.open("wb") as file:
            try:
                torch.save(content, file)
            except RuntimeError as err:
                if isinstance(err.__context__, OSError):
                    raise err.__context__ from None
                raise

    return write_atomically(path, write)


@contextmanager
def _hidden_folder(parent: Path) -> Iterator[Path]:
    """Give a folder in another one that is this process's own, and remove it."""
    with made_folder(parent):
        lock = _new_lock(parent)
        hidden = lock.path.with_suffix("")
        try:
            hidden.mkdir(mode=0o700)
            yield hidden
        finally:
            _clear(hidden, lock)


def _new_lock(folder: Path) -> FileLock:
    while True:
        path = folder / f"{_PREFIX}{secrets.token_hex(4)}{_LOCK}"
        with contextlib.suppress(FileExistsError):
            lock = FileLock.taken(path, new=True)
            if lock is not None:  # None: just now it was held for a leftover
                return lock


def _clear(hidden: Path, lock: FileLock) -> None:
    """Remove a hidden folder; it stays, to be recovered later, if that is impossible.

    Links are removed, never followed.
    """
    try:
        if _is_own_folder(hidden):
            _recover(hidden)
            shutil.rmtree(hidden)
    except (OSError, ValueError):
        lock.release(remove=False)
    else:
        lock.release()


def _move(hidden: Path, folder: Path, names: Sequence[str]) -> None:
    """Put the files of a set in their places, or leave these as they are."""
    new, old, begun = hidden / _NEW, hidden / _OLD, hidden / _BEGUN
    written = sorted(path.name for path in new.iterdir() if not path.is_dir())
    stale = sorted(
        name for name in set(names) - set(written) if os.path.lexists(folder / name)
    )
    for name in written:
        with _named(folder / name):
            _refuse_folder(folder / name)
            _to_disk(new / name)
    _to_disk(new)
    old.mkdir()
    try:
        for name in (*written, *stale):
            with _named(folder / name):
                _keep(folder / name, old / name)
        write_json(begun, stale)
        for name in written:
            with _named(folder / name):
                os.replace(new / name, folder / name)
        for name in stale:
            with _named(folder / name):
                (folder / name).unlink(missing_ok=True)  # it may be in `old`
        _to_disk(folder)
    except BaseException:
        for name in written:
            if not os.path.lexists(new / name):
                os.replace(folder / name, new / name)
        for path in old.iterdir():
            os.replace(path, folder / path.name)
        begun.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # all is done: what is left is cleared later
        shutil.rmtree(old)
        begun.unlink()


def _keep(path: Path, kept: Path) -> None:
    """Give a file a second name; where the disk has no such thing, another name."""
    if not os.path.lexists(path):
        return
    try:
        os.link(path, kept, follow_symlinks=False)
    except OSError:
        os.replace(path, kept)


def _recover(hidden: Path) -> None:
    """Complete a set whose moving had begun; take back one that was only prepared."""
    new, old, begun = hidden / _NEW, hidden / _OLD, hidden / _BEGUN
    folder = hidden.parent
    if begun.is_file() and _is_own_folder(new):
        stale = json.loads(begun.read_text(encoding="utf-8"))
        for path in new.iterdir():
            if not _is_own_folder(path):
                os.replace(path, folder / path.name)
        for name in stale:
            (folder / Path(name).name).unlink(missing_ok=True)
        begun.unlink()
    elif _is_own_folder(old):
        for path in old.iterdir():
            if not os.path.lexists(folder / path.name):
                os.replace(path, folder / path.name)


def _is_own_folder(path: Path) -> bool:
    """Return whether this user made a folder there, and no link to one."""
    is_folder = path.is_dir() and not path.is_symlink()
    return is_folder and path.lstat().st_uid == os.geteuid()


def _refuse_folder(path: Path) -> None:
    """Refuse to write a file where a folder is."""
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.ENOTSUP):  # some take no folders
            raise
    finally:
        os.close(handle)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say of an error of the system which file it is about, as it was to be called."""
    wanted = _without_hidden(path)
    try:
        yield
    except FileWriteError:
        raise
    except OSError as err:
        if err.errno not in _HINTS:
            raise
        given = path if err.filename is None else Path(os.fsdecode(err.filename))
        named = _without_hidden(given)
        above = {wanted, *wanted.parents, *wanted.resolve().parents}
        if named in above:
            named = wanted
        elif named == given and (named.parent != wanted or err.errno == errno.ENOENT):
            raise  # of another file, which was only read
        raise FileWriteError(named, err) from err


def _without_hidden(path: Path) -> Path:
    """Return where a file belongs that is written in a hidden folder."""
    parts: list[str] = []
    skipped = False
    for part in path.parts:
        inside, skipped = skipped, part.startswith(_PREFIX)
        if not skipped and not (inside and part in (_NEW, _OLD, _BEGUN)):
            parts.append(part)
    return Path(*parts)
