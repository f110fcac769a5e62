"""Draw a search: score against cost, and score by generation."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .search_outcome import SearchOutcome, label_of, number_text, values_of

_POINTS, _FRONT, _BEST = "#4c78a8", "#d1495b", "#f2b134"
_MOST_PANELS = 3


def pareto_figure(outcome: SearchOutcome, figure_class: Any) -> Any:
    """Return a figure of the metric against cost, or against each other objective.

    Args:
        outcome: What was found.
        figure_class: matplotlib's ``Figure``.
    """
    names = outcome.against()[:_MOST_PANELS]
    if not names or not outcome.full:
        return note_figure(
            "No candidate has a score."
            if not outcome.full
            else "Nothing is known of the candidates but their score: no cost.",
            figure_class,
        )
    width = 8.0 if len(names) == 1 else 6.2 * len(names)
    figure = figure_class(figsize=(width, 5.0), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for name, axes in zip(names, panels, strict=True):
        _pareto(axes, outcome, name)
    panels[0].set_ylabel(plain(label_of(outcome.metric)), fontsize=12)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=3, fontsize=11, frameon=False
    )
    return figure


def score_figure(outcome: SearchOutcome, figure_class: Any) -> Any:
    """Return a figure of the metric by batch: all, the best so far and medians.

    Within its batch a candidate stands at its place in the order of evaluation. If
    there is one batch, or each has one candidate, the order is all there is.

    Args:
        outcome: What was found.
        figure_class: matplotlib's ``Figure``.
    """
    if not outcome.full:
        return note_figure("No candidate has a score.", figure_class)
    batches = np.array([e.batch for e in outcome.full], dtype=float)
    by_batch = 1 < len(set(batches)) < len(batches)
    places = _places(batches) if by_batch else np.arange(1.0, len(batches) + 1)
    figure = figure_class(figsize=(8.0, 5.0), layout="constrained")
    axes = figure.add_subplot()
    scores = outcome.values(outcome.metric)
    label = f"candidates ({len(scores)})"
    style = dict(s=16, alpha=0.55, color=_POINTS, linewidths=0)
    axes.scatter(places, scores, label=label, **style)
    order = np.argsort(places, kind="stable")
    axes.plot(
        places[order],
        outcome.best_so_far()[order],
        drawstyle="steps-post",
        color=_FRONT,
        linewidth=2,
        label="best so far",
    )
    if by_batch:
        medians = outcome.medians()
        axes.plot(
            list(medians),
            list(medians.values()),
            color="0.2",
            marker="o",
            markersize=4,
            linewidth=1.2,
            label="median of the batch",
        )
    axes.set_xlabel("batch (generation)" if by_batch else "evaluation", fontsize=12)
    axes.set_ylabel(plain(label_of(outcome.metric)), fontsize=12)
    ticker = import_module("matplotlib.ticker")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    _dress(axes)
    figure.legend(loc="outside upper center", ncols=3, fontsize=11, frameon=False)
    return figure


def note_figure(text: str, figure_class: Any) -> Any:
    """Return a figure that says why there is nothing to see."""
    figure = figure_class(figsize=(8.0, 2.0))
    figure.text(0.5, 0.5, plain(text), ha="center", va="center", fontsize=13)
    return figure


def plain(text: str) -> str:
    """Return a text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


def point_places(figure: Any) -> list[tuple[float, float]]:
    """Return where the points of the first panel are, from the left and top.

    Returns:
        Shares of width and height, in the order of ``outcome.full``; none if there are
        no points.
    """
    if not figure.axes:
        return []
    figure.draw_without_rendering()
    axes = figure.axes[0]
    pixels = axes.transData.transform(axes.collections[0].get_offsets())
    shares = pixels / figure.bbox.size
    return [(float(x), float(1 - y)) for x, y in shares]


def _pareto(axes: Any, outcome: SearchOutcome, name: str) -> None:
    x, y = outcome.values(name), outcome.values(outcome.metric)
    label = f"candidates ({len(x)})"
    axes.scatter(x, y, s=18, alpha=0.5, color=_POINTS, linewidths=0, label=label)
    front = outcome.front(name)
    axes.plot(
        x[front],
        y[front],
        color=_FRONT,
        drawstyle="steps-post" if outcome.less_is_better(name) else "steps-pre",
        marker="o",
        markersize=5,
        linewidth=1.6,
        label="front",
    )
    best = [values_of(subnet) for subnet in outcome.best]
    best = [v for v in best if {name, outcome.metric} <= set(v)]
    axes.scatter(
        [v[name] for v in best],
        [v[outcome.metric] for v in best],
        s=130,
        marker="*",
        color=_BEST,
        edgecolors="black",
        linewidths=0.7,
        zorder=5,
        label=f"best ({len(best)})",
    )
    axes.set_xlabel(plain(label_of(name)), fontsize=12)
    _dress(axes)
    ticker = import_module("matplotlib.ticker")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(7))
    axes.xaxis.set_major_formatter(lambda value, _: number_text(name, value))


def _dress(axes: Any) -> None:
    axes.tick_params(labelsize=11)
    axes.grid(alpha=0.3)
    axes.yaxis.get_major_formatter().set_useOffset(False)


def _places(batches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread what is in a batch around its number, in order."""
    places = batches.copy()
    for batch in set(batches):
        members = np.flatnonzero(batches == batch)
        shift = (np.arange(len(members)) + 0.5) / len(members) - 0.5
        places[members] += 0.6 * shift
    return places
