"""The report of an architecture search: a page and three pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..core.files import write_atomically
from ..core.loops.search_state import Evaluation
from ..core.space import SearchSpace, Subnet
from .choices_picture import choices_figure
from .figures import figure_type
from .search_outcome import SearchOutcome
from .search_page import search_page
from .search_picture import pareto_figure, point_places, score_figure

_DPI = 110


def write_search_report(
    folder: str | Path,
    evaluations: Sequence[Evaluation],
    best: Sequence[Subnet],
    *,
    space: SearchSpace,
    metric: str,
    objectives: Sequence[tuple[str, str]],
    title: str,
) -> dict[str, Path]:
    """Write ``search.html``, ``pareto.png``, ``score.png`` and ``choices.png``.

    The page shows the pictures, the best Subnets and what failed, and needs no other
    file. Evaluations on a part of the validation set are counted there and not drawn:
    their scores are not to be compared.

    Args:
        folder: Where to write them; it is made if missing.
        evaluations: All of them, in order.
        best: What the search returned, best first.
        space: What was searched.
        metric: The score that matters most, such as ``accuracy/top1``.
        objectives: Pairs of a score or cost and ``max`` or ``min``.
        title: Of the page.

    Returns:
        Paths by ``page``, ``pareto``, ``score`` and ``choices``.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
        ValueError: If Subnets have scores, but none of them has all of the metric and
            the objectives.
    """
    figure_class = figure_type(
        "Install it: pip install matplotlib. What was evaluated is kept: run the same "
        "command again."
    )
    outcome = SearchOutcome(evaluations, best, metric, objectives)
    figures = {
        "pareto": pareto_figure(outcome, figure_class),
        "score": score_figure(outcome, figure_class),
        "choices": choices_figure(outcome, space, figure_class),
    }
    places = point_places(figures["pareto"])
    pictures = {name: _png(figure) for name, figure in figures.items()}
    text = search_page(outcome, space, title, pictures, places)
    content = {"search.html": text.encode("utf-8")}
    content |= {f"{name}.png": picture for name, picture in pictures.items()}
    written = {}
    for name, data in content.items():
        place = Path(folder) / name
        written[place.stem] = write_atomically(place, partial(_write, data))
    return {"page": written.pop("search"), **written}


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI)
    return buffer.getvalue()


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)
