"""Draw a comparison: one panel for each number, one bar for each model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.files import write_atomically
from .compare_report import Comparison, column_texts
from .figures import figure_type

_FIRST, _OTHERS = "0.8", "#9ecae9"


def draw_comparison(comparison: Comparison, path: str | Path) -> Path:
    """Write a picture of what :meth:`Comparison.columns` gives.

    Args:
        comparison: What was found.
        path: Where to write it; the suffix says the format (``.png``, ``.svg``).

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    figure_class = figure_type("Install it: pip install matplotlib.")
    names = [model.name for model in comparison.models]
    columns = comparison.columns()
    label_width = 0.09 * max(map(len, names))
    size = (label_width + 2.4 * len(columns) + 0.5, 0.42 * len(names) + 1.3)
    figure = figure_class(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(columns), sharey=True)
    for axes, (name, numbers) in zip(panels, columns.items(), strict=True):
        _draw_column(axes, name, numbers)
    panels[0].set_yticks(range(len(names)), names, fontsize=10)
    panels[0].invert_yaxis()
    figure.supxlabel(comparison.conditions(), fontsize=8, color="0.35")
    return write_atomically(path, lambda place: figure.savefig(place, dpi=110))


def _draw_column(axes: Any, name: str, numbers: list[float | None]) -> None:
    lengths = [0.0 if number is None else number for number in numbers]
    colours = [_FIRST] + [_OTHERS] * (len(numbers) - 1)
    axes.barh(range(len(numbers)), lengths, height=0.6, color=colours)
    most = max(lengths) or 1.0
    for place, text in enumerate(column_texts(name, numbers)):
        # From the left end of the bar, which may be shorter.
        axes.text(0.02 * most, place, text, va="center", fontsize=9)
    axes.set_xlim(0, 1.05 * most)
    axes.set_title(name, fontsize=11)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
