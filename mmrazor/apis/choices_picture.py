"""Draw which values of the Choices a search tried, and which of them did well."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..core.space import Choice, OneOf, SearchSpace
from .search_outcome import SearchOutcome, short_names
from .search_picture import note_figure, plain

_ALL, _TOP = "#b8c4d0", "#d1495b"
_MOST_VALUES, _MOST_PANELS, _MOST_COLUMNS = 12, 60, 5
_LONGEST_LABEL, _LONGEST_NAME = 22, 36


@dataclass(frozen=True)
class ChoiceShares:
    """How often the values of one Choice occur.

    Args:
        name: Of the Choice.
        labels: Of its values, in order; neighbours are put together if they are many.
        overall: Share of each among all candidates.
        top: Share of each among the top quarter.
    """

    name: str
    labels: tuple[str, ...]
    overall: tuple[float, ...]
    top: tuple[float, ...]

    def change(self) -> float:
        """Return how far the shares are apart: 0 if they are equal, 1 if disjoint."""
        pairs = zip(self.overall, self.top, strict=True)
        return sum(abs(a - b) for a, b in pairs) / 2


def choice_shares(outcome: SearchOutcome, space: SearchSpace) -> list[ChoiceShares]:
    """Count the values of every Choice over the candidates with a full score.

    Of kept channels their number counts. More than twelve values are counted in runs of
    neighbours.

    Args:
        outcome: What was found; it has candidates with a score.
        space: What was searched.
    """
    top = set(outcome.top_quarter())
    found = []
    for name, choice in space.items():
        raw = [e.subnet.choices[name] for e in outcome.full]
        unit = " kept" if isinstance(raw[0], list) else ""
        values = [len(value) if isinstance(value, list) else value for value in raw]
        runs = _runs(_ordered(choice, values))
        counts = Counter(values)
        of_top = Counter(value for i, value in enumerate(values) if i in top)
        found.append(
            ChoiceShares(
                name,
                tuple(_run_label(run) + unit for run in runs),
                tuple(sum(counts[v] for v in run) / len(values) for run in runs),
                tuple(sum(of_top[v] for v in run) / len(top) for run in runs),
            )
        )
    return found


def choices_figure(
    outcome: SearchOutcome, space: SearchSpace, figure_class: Any
) -> Any:
    """Return a figure with a panel for each Choice, bars for each value.

    Of more than sixty Choices those are shown that the top quarter differs most in.

    Args:
        outcome: What was found.
        space: What was searched.
        figure_class: matplotlib's ``Figure``.
    """
    if not outcome.full or not len(space):
        return note_figure("No candidate has a score.", figure_class)
    shares = choice_shares(outcome, space)
    shown = sorted(shares, key=lambda one: -one.change())[:_MOST_PANELS]
    shown = [one for one in shares if one in shown]
    columns = min(_MOST_COLUMNS, max(3, math.ceil(math.sqrt(len(shown)))), len(shown))
    rows = [shown[i : i + columns] for i in range(0, len(shown), columns)]
    heights = [0.6 + 0.24 * max(3, *(len(s.labels) for s in row)) for row in rows]
    figure = figure_class(
        figsize=(max(3.0 * columns, 7.0), sum(heights) + 1.1), layout="constrained"
    )
    panels = figure.subplots(
        len(rows), columns, squeeze=False, sharex=True, height_ratios=heights
    )
    fit = max(map(len, space)) <= _LONGEST_NAME
    names = {name: name for name in space} if fit else short_names(space)
    alike = len({one.labels for one in shown}) == 1
    highest = max(share for one in shown for share in (*one.overall, *one.top))
    panels[0, 0].set_xlim(0, min(1.0, 1.05 * highest))
    for i, axes in enumerate(panels.flat):
        if i >= len(shown):
            axes.remove()
            continue
        _bars(axes, shown[i], names[shown[i].name])
        axes.tick_params(labelleft=not alike or i % columns == 0)
        if i + columns >= len(shown):  # nothing below it
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("share of candidates", fontsize=10)
    number = math.ceil(len(outcome.full) / 4)
    labels = [f"all ({len(outcome.full)})", f"top quarter ({number})"]
    figure.legend(
        panels[0, 0].containers,
        labels,
        loc="outside upper center",
        ncols=2,
        fontsize=11,
        frameon=False,
        title=_title(len(shown), len(space)),
    )
    return figure


def _title(shown: int, total: int) -> str | None:
    if shown == total:
        return None
    return f"the {shown} of {total} choices that the top quarter differs most in"


def _bars(axes: Any, shares: ChoiceShares, name: str) -> None:
    places = range(len(shares.labels))
    style = dict(height=0.38, linewidth=0)
    axes.barh([p - 0.2 for p in places], shares.overall, color=_ALL, **style)
    axes.barh([p + 0.2 for p in places], shares.top, color=_TOP, **style)
    axes.set_yticks(
        places, [plain(_elided(label, _LONGEST_LABEL)) for label in shares.labels]
    )
    axes.invert_yaxis()
    axes.tick_params(labelsize=9)
    axes.set_title(plain(_elided(name, _LONGEST_NAME)), fontsize=9)
    ticker = import_module("matplotlib.ticker")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(4))
    axes.xaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _ordered(choice: Choice, values: Sequence[Any]) -> list[Any]:
    """Return the values in the order of a OneOf, else those that occur, ascending."""
    if isinstance(choice, OneOf):
        return list(choice.values)
    different = set(values)
    numbers = [v for v in different if isinstance(v, int | float)]
    return sorted(numbers) + sorted(different.difference(numbers), key=str)


def _runs(values: list[Any]) -> list[list[Any]]:
    size = math.ceil(len(values) / _MOST_VALUES)
    return [values[i : i + size] for i in range(0, len(values), size)]


def _run_label(run: list[Any]) -> str:
    return str(run[0]) if len(run) == 1 else f"{run[0]} … {run[-1]}"


def _elided(text: str, longest: int) -> str:
    half = longest // 2
    return (
        text if len(text) <= longest else f"{text[:half]}…{text[1 + half - longest :]}"
    )
