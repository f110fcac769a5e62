"""A part of the work on one model: its time, and the error that it ended with."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any


class Stage:
    """Times a part of the work and reports how it ended; errors go no further.

    Args:
        name: Of the stage.
        send: Takes ``(kind, value)`` messages.
    """

    def __init__(self, name: str, send: Callable[[Any], None]) -> None:
        self.name = name
        self.send = send
        self.passed = False

    def __enter__(self) -> Stage:
        self.start, self.cpu = time.perf_counter(), time.process_time()
        self.send(("begin", self.name))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.passed = error is None
        result: dict[str, Any] = {
            "seconds": round(time.perf_counter() - self.start, 2),
            "cpu_s": round(time.process_time() - self.cpu, 2),
        }
        if error is not None:
            traceback.print_exception(error)
            result |= {"error": one_line(error), "where": where(trace)}
        self.send(("end", (self.name, result)))
        return isinstance(error, Exception)


def one_line(error: BaseException) -> str:
    """Return an error's type and the start of its text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:600]}"


def where(trace: TracebackType | None) -> str:
    """Return the last line of code that raised."""
    frames = traceback.extract_tb(trace)
    if not frames:
        return ""
    path = Path(frames[-1].filename)
    return f"{'/'.join(path.parts[-3:])}:{frames[-1].lineno}"
