"""Pictures without a display: matplotlib where it is installed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.logging import print_log


def figure_type(remedy: str) -> Any:
    """Return matplotlib's ``Figure``, which leaves the state of pyplot alone.

    Args:
        remedy: What to do if it is missing, as a sentence or two.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    try:
        return import_module("matplotlib.figure").Figure
    except ModuleNotFoundError as err:
        raise ModuleNotFoundError(
            f"The picture needs matplotlib. {remedy}", name=err.name
        ) from err


def drawn_if_possible(
    draw: Callable[[Any, Path], Path], found: Any, path: Path
) -> Path | None:
    """Draw a picture; without matplotlib warn, and return None.

    Args:
        draw: Draws what was found to a file and returns its path.
        found: What was found.
        path: The file.
    """
    try:
        return draw(found, path)
    except ModuleNotFoundError as err:
        print_log(str(err), logger="current", level=logging.WARNING)
        return None
