# Two runs that write into one folder mix their files, and each is right for itself. So
# a run takes the folder before it does anything; the lock ends with the process.
"""Hold the folder that a run writes into."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..core.files import FileWriteError, made_folder, remove_leftovers
from ..core.locks import FileLock

LOCK = ".mmrazor.lock"
_RANKS = {
    "pytorch": "RANK",
    "slurm": "SLURM_PROCID",
    "mpi": "OMPI_COMM_WORLD_RANK",
}
# What says of a disk, but not of which one.
_OF_A_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class FolderInUseError(RuntimeError):
    """Another run writes into the folder; the text says which."""


@contextmanager
def run_folder(
    folder: str | os.PathLike[str], option: str = "--work-dir", held: bool = True
) -> Iterator[Path]:
    """Hold a folder for this process while the ``with`` block runs.

    What runs that were killed left half written there is cleared first. The lock is the
    file ``.mmrazor.lock``, which ends with the process, however that ends.

    Args:
        folder: The folder; a link to one is followed. If it is missing it is made, and
            removed again if nothing is written.
        option: How another folder is chosen, for the error.
        held: ``False`` does nothing: for a process whose first rank holds the folder.

    Yields:
        The folder.

    Raises:
        FileWriteError: If the folder cannot be written.
        FolderInUseError: If another run holds it.

    Example:
        >>> import tempfile
        >>> with run_folder(tempfile.mkdtemp()) as folder:
        ...     [path.name for path in folder.iterdir()]
        ['.mmrazor.lock']
    """
    folder = Path(folder)
    if not held:
        yield folder
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(made_folder(folder))
            lock = _taken(folder, option)
        except OSError as err:
            raise FileWriteError(folder, err) from err
        stack.callback(lock.release)
        # A log on a full disk: the next file that is written says it in one line.
        stack.callback(setattr, logging, "raiseExceptions", logging.raiseExceptions)
        logging.raiseExceptions = False
        remove_leftovers(folder)
        try:
            yield folder
        except OSError as err:
            unnamed = err.filename is None and not isinstance(err, FileWriteError)
            if not unnamed or err.errno not in _OF_A_DISK:
                raise
            raise FileWriteError(folder, err) from err


def file_stem(name: str | None, default: str) -> str:
    """Return how the names of a run's files begin.

    Args:
        name: As given; None for the default.
        default: Used if nothing is given.

    Raises:
        ValueError: If the name leads to another folder.

    Example:
        >>> file_stem(None, 'net_pruned'), file_stem('half', 'net_pruned')
        ('net_pruned', 'half')
    """
    stem = name or default
    if Path(stem).name != stem or stem == ".." or "\0" in stem:
        raise ValueError(
            f"name={stem!r} must be the name of a file without a folder. Choose the "
            "folder by its own option (--work-dir or --out-dir)."
        )
    return stem


def is_first_rank(launcher: str) -> bool:
    """Return whether this process is the first of those that a launcher started.

    Args:
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``; the processes need not
            have met yet.
    """
    variable = _RANKS.get(launcher)
    return variable is None or os.environ.get(variable, "0") == "0"


def _taken(folder: Path, option: str) -> FileLock:
    tool = Path(sys.argv[0]).name or "python"
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    note = f"process {os.getpid()} on {socket.gethostname()} ({tool}), since {now}"
    lock = FileLock.taken(folder / LOCK, note)
    if lock is not None:
        return lock
    try:
        holder = (folder / LOCK).read_text(encoding="utf-8")[:200]
    except (OSError, ValueError):  # it ended just now, or is not of this library
        holder = ""
    raise FolderInUseError(
        f"'{folder}' is in use by another run: {holder or 'it says no more'}. Wait "
        f"until it ends, stop it, or choose another folder: {option} "
        f"{shlex.quote(f'{folder}_2')}."
    )
