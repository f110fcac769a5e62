"""Draw a sensitivity analysis: lines for a few groups, a heat map for many."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..core.files import write_atomically
from .figures import figure_type
from .sensitivity_report import SensitivityReport

_MOST_LINES = 8
_MARKERS = "osD^vP*X"
_ROW = 0.26
_MOST_ROWS = 400


def draw_sensitivity(report: SensitivityReport, path: str | Path) -> Path:
    """Write a picture of scores by pruned share.

    Up to eight groups are lines, the most sensitive first in the legend. More are rows
    of a heat map, in the order of the network.

    Args:
        report: What was found.
        path: Where to write it; the suffix says the format (``.png``, ``.svg``).

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    figure_class = figure_type(
        "Install it: pip install matplotlib. The scores are kept: run the same command "
        "again."
    )
    few = len(report.groups) <= _MOST_LINES
    figure = (_lines if few else _heat_map)(report, figure_class)
    return write_atomically(path, lambda place: figure.savefig(place, dpi=110))


def _lines(report: SensitivityReport, figure_class: Any) -> Any:
    figure = figure_class(figsize=(9.5, 5.0), layout="constrained")
    axes = figure.add_subplot()
    for group, marker in zip(report.ranked(), _MARKERS, strict=False):
        shares = [0.0, *report.shares]
        scores = [report.dense, *map(_number, group.scores)]
        axes.plot([100 * s for s in shares], scores, marker=marker, label=group.name)
    axes.axhline(
        report.dense, color="0.45", linestyle="--", linewidth=1, label="nothing pruned"
    )
    axes.set_xlabel("pruned share of the group (%)", fontsize=12)
    axes.set_ylabel(report.metric, fontsize=12)
    axes.set_title(_title(report), fontsize=12)
    axes.tick_params(labelsize=11)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=10)
    return figure


def _heat_map(report: SensitivityReport, figure_class: Any) -> Any:
    groups, shares = report.groups, report.shares
    rows = min(len(groups), _MOST_ROWS)
    label_width = 0.085 * max(len(group.name) for group in groups)
    size = (label_width + 0.75 * len(shares) + 1.6, _ROW * rows + 1.6)
    figure = figure_class(figsize=(max(size[0], 7.0), size[1]), layout="constrained")
    axes = figure.add_subplot()
    scores = [[_number(score) for score in group.scores] for group in groups]
    known = [x for row in scores for x in row if math.isfinite(x)] or [report.dense]
    low, high = min([*known, report.dense]), max([*known, report.dense])
    colours = "viridis_r" if report.lower_is_better else "viridis"
    image = axes.imshow(scores, aspect="auto", cmap=colours, vmin=low, vmax=high)
    axes.set_facecolor("0.85")  # where there is no score
    axes.set_xticks(range(len(shares)), [f"{share:.0%}" for share in shares])
    step = -(-len(groups) // _MOST_ROWS)
    ticks = range(0, len(groups), step)
    axes.set_yticks(ticks, [groups[i].name for i in ticks], fontsize=9)
    axes.set_xlabel("pruned share of the group", fontsize=11)
    axes.set_title(_title(report), fontsize=11)
    if step == 1:
        _write_scores(axes, scores, image)
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 8 / size[1]))
    bar.set_label(f"{report.metric}; nothing pruned: {report.dense:.4g}", fontsize=10)
    return figure


def _write_scores(axes: Any, scores: list[list[float]], image: Any) -> None:
    for row, values in enumerate(scores):
        for column, value in enumerate(values):
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
            text = f"{value:.3g}" if math.isfinite(value) else "-"
            colour = "white" if dark and math.isfinite(value) else "black"
            place = dict(ha="center", va="center", fontsize=8)
            axes.text(column, row, text, color=colour, **place)


def _number(score: float | None) -> float:
    return math.nan if score is None else score


def _title(report: SensitivityReport) -> str:
    return f"{report.model}: one group pruned, all others whole ({report.stage} set)"
