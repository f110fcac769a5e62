# A stopped tool ends in one line that can be typed. Which command that is depends on
# what the tool keeps: nothing, what it was told to resume from, or everything.
"""Stop a tool by a signal, and say with which command it goes on."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

#: Exit code of a tool that was stopped: 128 and the number of SIGINT.
EXIT_CODE = 130

# A terminal and a launcher may both send a signal for one Ctrl-C.
_SAME_STOP_S = 2.0

_ONE_SHOT = "nothing of its result was written; begin again with"
_AGAIN = "what is done is kept; go on with"
_RESUME = "go on from the newest checkpoint with"


@dataclass(frozen=True)
class _Kept:
    """What a tool keeps when it is stopped.

    Args:
        says: Stands before the command.
        adds: Option that goes on.
        drops: Option that would begin anew, or go on from elsewhere.
        with_value: Whether what stands behind the dropped option belongs to it.
    """

    says: str
    adds: str = ""
    drops: str = ""
    with_value: bool = False


_TOOLS = {
    "train.py": _Kept(_RESUME, "--resume", "--resume", with_value=True),
    "search.py": _Kept(_AGAIN, "--resume", "--resume"),
    "sensitivity.py": _Kept(_AGAIN, drops="--no-resume"),
    "quickstart.py": _Kept(_AGAIN, drops="--restart"),
    "prepare_data.py": _Kept(_AGAIN),
}


def going_on(program: str, arguments: Sequence[str]) -> str:
    """Return the line that a stopped tool ends with.

    Args:
        program: The script, as ``sys.argv[0]`` has it.
        arguments: Its arguments, as ``sys.argv[1:]`` has them.

    Example:
        >>> print(going_on('tools/train.py', ['net.py', '--work-dir', 'my run']))
        Stopped; go on from the newest checkpoint with: \
python tools/train.py net.py --work-dir 'my run' --resume
        >>> print(going_on('tools/prune.py', ['net.py', '--budget', 'macs=0.5']))
        Stopped; nothing of its result was written; begin again with: \
python tools/prune.py net.py --budget macs=0.5
    """
    kept = _TOOLS.get(Path(program).name, _Kept(_ONE_SHOT))
    left, dropped = _without(arguments, kept)
    added = [kept.adds] if kept.adds else []
    line = f"Stopped; {kept.says}: {shlex.join(['python', program, *left, *added])}"
    if _is_launched(arguments):
        line += " (by the launcher that started it)"
    source = " ".join(dropped).replace("=", " ").split()[1:]
    if source not in ([], ["auto"]):
        line += f"; if it wrote no checkpoint yet, with {shlex.join(dropped)} as before"
    return line


class Stop:
    """Whether a signal asked this process to stop.

    What dies of the same signal (workers of a loader, other ranks) may raise another
    error first; ``requested`` tells that it is no fault of its own.
    """

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0
        self._owner = os.getpid()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt at the first signal; end at one much later."""
        if os.getpid() != self._owner:  # a forked worker: as without this handler
            self._in_a_child(number)
            return
        now = time.monotonic()
        if not self.requested:
            self.requested, self._since = True, now
            raise KeyboardInterrupt
        if now - self._since > _SAME_STOP_S:
            os._exit(EXIT_CODE)

    @staticmethod
    def _in_a_child(number: int) -> None:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt while the ``with`` block runs.

    After the first signal, those of the next two seconds are the same stop and are
    ignored; one that comes later ends the process at once. Outside the main thread,
    where Python takes no handlers, nothing changes.

    Yields:
        Says whether a signal came.

    Example:
        >>> with stoppable() as stop:
        ...     stop.requested
        False
    """
    stop = Stop()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for wanted in (signal.SIGINT, signal.SIGTERM):
            before[wanted] = signal.signal(wanted, stop)
    try:
        yield stop
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)


def _without(arguments: Sequence[str], kept: _Kept) -> tuple[list[str], list[str]]:
    """Return the arguments without an option (and its value), and what was left out."""
    left: list[str] = []
    dropped: list[str] = []
    takes_next = False
    for word in arguments:
        if word.startswith("-"):
            name, equals, _ = word.partition("=")
            # argparse takes the beginning of an option for the option.
            found = len(name) > 2 and kept.drops.startswith(name)
            takes_next = found and kept.with_value and not equals
            (dropped if found else left).append(word)
        else:
            (dropped if takes_next else left).append(word)
            takes_next = False
    return left, dropped


def _is_launched(arguments: Sequence[str]) -> bool:
    words = " ".join(arguments).replace("=", " ").split()
    pairs = itertools.pairwise(words)
    return any(name == "--launcher" and value != "none" for name, value in pairs)
