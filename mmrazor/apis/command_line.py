"""The one way out of a tool: its exit code, and one line for whatever ends it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from .error_line import error_line, is_debugged
from .going_on import EXIT_CODE, going_on, stoppable


def run(main: Callable[[], int | None]) -> None:
    """Run the ``main`` of a tool, and leave the process with an exit code.

    That is 0, or what ``main`` returns; 1 and one line ``error: ...`` for an exception,
    2 for a command line that argparse refuses, 130 and one line that says how to go on
    if Ctrl-C or SIGTERM stopped it. With ``MMRAZOR_DEBUG=1`` the traceback is printed
    before the line.

    Args:
        main: Reads ``sys.argv`` and does the work.

    Raises:
        SystemExit: Always.
    """
    with stoppable() as stop:
        try:
            code = main() or 0
        except BrokenPipeError:  # as of `tool | head`
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for Python's own flush
            code = 1
        except (KeyboardInterrupt, Exception) as err:  # noqa: BLE001 - any of a tool
            if is_debugged():
                traceback.print_exc()
            if stop.requested or isinstance(err, KeyboardInterrupt):
                code, line = EXIT_CODE, going_on(sys.argv[0], sys.argv[1:])
            else:
                code, line = 1, error_line(err)
            _say(line)
    sys.exit(code)


def _say(line: str) -> None:
    """Print a line after all that was printed before it."""
    try:
        sys.stdout.flush()
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads it any more
        return
