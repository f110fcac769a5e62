"""Commands that a user may type next, as a shell takes them."""

from __future__ import annotations

import os
import shlex


def tool_command(tool: str, *arguments: str | os.PathLike[str]) -> str:
    """Return the command line that runs one of the tools, on one line.

    Whatever is in the names of files, a shell hands them on as they are, and the tool
    takes none for an option.

    Args:
        tool: Name of the script in ``tools``, without suffix.
        *arguments: Files; a placeholder such as ``<checkpoint>`` is quoted as well.

    Example:
        >>> tool_command('test', 'my config.py', '-x.pth')
        "python tools/test.py 'my config.py' ./-x.pth"
    """
    return " ".join(["python", f"tools/{tool}.py", *map(_word, arguments)])


def _word(argument: str | os.PathLike[str]) -> str:
    text = os.fspath(argument)
    if text.startswith("-"):
        text = f"./{text}"
    if text.isprintable():
        return shlex.quote(text)
    # A line break would end the comment that a config's header is.
    escaped = text.replace("\\", r"\\").replace("'", r"\'")
    return "$'" + "".join(_escaped(char) for char in escaped) + "'"


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))
