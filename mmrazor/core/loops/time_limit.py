# An alarm ends what runs in Python, also while it waits. What hangs inside a kernel,
# with or without the interpreter's lock, is ended by faulthandler's watchdog: with the
# process.
"""End what takes too long."""

from __future__ import annotations

import faulthandler
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO

_GRACE_S = 10.0


class TimeLimitError(TimeoutError):
    """Something took longer than it may."""


def checked_time_limit(seconds: float | None) -> float | None:
    """Return a time limit as it is.

    Raises:
        ValueError: If it is no positive number.
    """
    if seconds is not None and not 0 < seconds < float("inf"):
        raise ValueError(
            f"time_limit_s={seconds} must be seconds above 0; None: no limit."
        )
    return seconds


@contextmanager
def time_limit(seconds: float | None, note: IO[str] | None = None) -> Iterator[None]:
    """Interrupt what runs inside the ``with`` block after so many seconds.

    Args:
        seconds: None: nothing is interrupted.
        note: File for the last word of a process that cannot be interrupted: ten
            seconds, or the limit once more, after the limit it is ended. None: it is
            not ended.

    Raises:
        TimeLimitError: If it takes longer.
        ValueError: Outside the main thread, where nothing can be interrupted.

    Example:
        >>> with time_limit(0.01):
        ...     time.sleep(5)
        Traceback (most recent call last):
        mmrazor.core.loops.time_limit.TimeLimitError: it took longer than 0.01 s
    """
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        raise ValueError(
            "A time limit works in the main thread alone. Search there, or leave "
            "time_limit_s out."
        )

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TimeLimitError(f"it took longer than {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, interrupt)
    start = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    if note is not None:
        wait = seconds + max(_GRACE_S, seconds)
        faulthandler.dump_traceback_later(wait, exit=True, file=note)
    try:
        yield
    finally:
        if note is not None:
            faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody else's alarm goes on
            rest = max(left - (time.monotonic() - start), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, rest, interval)
