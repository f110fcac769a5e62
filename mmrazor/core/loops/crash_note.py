# A process that dies by a signal cannot say so. The interpreter's faulthandler writes
# from the signal handler itself, and its watchdog from a thread that needs no lock.
"""What a process of a search leaves behind for the next one if it dies."""

from __future__ import annotations

import faulthandler
import os
import re
from pathlib import Path
from types import TracebackType
from typing import IO, final

_STOPPED = "stopped"
_TIMEOUT = re.compile(r"Timeout \(\d+:\d\d:\d\d")
_SIGNALS = {
    "Segmentation fault": "SIGSEGV",
    "Bus error": "SIGBUS",
    "Floating point exception": "SIGFPE",
    "Aborted": "SIGABRT",
    "Illegal instruction": "SIGILL",
}
_SILENT = "SIGKILL, as when memory runs out, or an exit without a word"


@final
class CrashNote:
    """Keep a file from which the next run learns how this process ended.

    A run that ends by itself removes the file, one that is stopped (by an error, Ctrl-C
    or SIGTERM) says so in it, and one that dies of a fault leaves signal and line. One
    that is killed leaves the file empty.

    Args:
        folder: Of the search. None: no note is kept.
        rank: Of this process.
    """

    def __init__(self, folder: str | Path | None, rank: int) -> None:
        self.path = None if folder is None else note_path(folder, rank)
        self._file: IO[str] | None = None

    def __enter__(self) -> CrashNote:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8")
            self._was_enabled = faulthandler.is_enabled()
            faulthandler.enable(self._file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None or self.path is None:
            return
        faulthandler.disable()
        if self._was_enabled:
            faulthandler.enable(2)
        if error is not None:
            self._file.write(_STOPPED)
        self._file.close()
        if error is None:
            self.path.unlink(missing_ok=True)

    @property
    def file(self) -> IO[str] | None:
        """The open file, while the process is inside the ``with`` block."""
        return self._file


def note_path(folder: str | Path, rank: int) -> Path:
    """Return where a rank keeps its note."""
    return Path(folder) / f"search.rank{rank}.note"


def read_note(folder: str | Path, rank: int) -> str | None:
    """Return why a rank that did not end died, None if it was stopped.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> read_note(folder, 0)
        'SIGKILL, as when memory runs out, or an exit without a word'
        >>> _ = note_path(folder, 0).write_text('stopped')
        >>> read_note(folder, 0) is None
        True
    """
    path = note_path(folder, rank)
    found = path.exists()
    text = path.read_text(encoding="utf-8", errors="replace") if found else ""
    return None if text.endswith(_STOPPED) else _explained(text)


def is_time_limit(reason: str) -> bool:
    """Tell whether a process ended itself because a candidate took too long."""
    return reason.startswith("its time limit")


def _explained(text: str) -> str:
    if not text.strip():
        return _SILENT
    found = re.search(r'File "(.+)", line (\d+) in (\S+)', text)
    where = f", at {os.path.basename(found[1])}:{found[2]}, {found[3]}" if found else ""
    if _TIMEOUT.search(text):
        return f"its time limit{where}"
    fault = re.search(r"Fatal Python error: (.+)", text)
    name = fault[1].strip() if fault else text.strip().splitlines()[0][:80]
    return f"{_SIGNALS.get(name, name)}{where}"
