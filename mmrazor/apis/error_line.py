# What mmrazor raises on purpose has its sentence already. What Python, torch or a host
# raises gets one by its kind; what is of no known kind says where it came from.
"""Turn any exception into one line: cause, value, next step."""

from __future__ import annotations

import os

from .error_kinds import explained, message
from .error_origin import config_key, is_raised, location

#: Set to 1, it lets a tool print the traceback before the line.
DEBUG = "MMRAZOR_DEBUG"

_LONGEST = 2000  # characters of a line; some messages hold whole configs or lists


def error_line(err: BaseException) -> str:
    """Return what a tool says of an exception that ends it.

    Args:
        err: Any exception, with its traceback.

    Returns:
        One line that begins with ``error: ``.

    Example:
        >>> error_line(FileNotFoundError(2, 'No such file or directory', 'a.yaml'))
        "error: There is no file or folder 'a.yaml'. Check the path."
    """
    raised = is_raised(err)
    named = isinstance(err, OSError) and err.filename is not None
    text = message(err) if raised and not named else ""
    text = text or explained(err)
    key = config_key(err, by_values=not raised)
    # What is raised on purpose needs no more than a part as a whole.
    told = not key or key in text or (raised and "." not in key)
    where = "" if told else f" The config has it under {key}."
    text = f"{_sentence(text)}{where}" if text else _unforeseen(err, where)
    text = " ".join(text.split())
    if len(text) > _LONGEST:
        half = _LONGEST // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return f"error: {text}"


def is_debugged() -> bool:
    """Tell whether the user wants to see tracebacks."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def _unforeseen(err: BaseException, where: str) -> str:
    text = message(err)
    said = f"{type(err).__name__}: {text}" if text else type(err).__name__
    return (
        f"{_sentence(said)}{where} It was raised at {location(err)}; {DEBUG}=1 in "
        "front of the command shows the traceback."
    )


def _sentence(text: str) -> str:
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
