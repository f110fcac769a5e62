"""Pictures without a display: matplotlib where it is installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


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
