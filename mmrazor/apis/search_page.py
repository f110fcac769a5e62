"""The page of a search: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from html import escape
from typing import Any

import numpy as np

from ..core.loops.search_state import Evaluation
from ..core.space import SearchSpace, Subnet
from ..core.space.values import shown
from .search_outcome import (
    SearchOutcome,
    label_of,
    number_text,
    short_names,
    value_text,
    values_of,
)

_MOST_HOVERS = 2000

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1180px;
       padding: 0 1em; color: #222; background: #fff; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
.scroll { overflow: auto; max-height: 70vh; border: 1px solid #ddd; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .6em; border-bottom: 1px solid #eee; text-align: left;
         vertical-align: top; white-space: nowrap; }
td.text { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 24em; }
td.number { text-align: right; }
thead th { position: sticky; top: 0; background: #f4f6f8; vertical-align: bottom; }
table.sortable thead th { cursor: pointer; }
dl { display: grid; grid-template-columns: max-content auto; gap: .1em 1em; }
dt { color: #666; } dd { margin: 0; }
figure { margin: 1em 0; } figcaption { color: #555; }
.picture { position: relative; display: inline-block; max-width: 100%; }
.picture img { display: block; max-width: 100%; }
.picture i { position: absolute; width: 10px; height: 10px; margin: -5px 0 0 -5px;
             border-radius: 50%; }
.picture i:hover { outline: 2px solid #d1495b; z-index: 1; }
"""

_SCRIPT = """
const value = (row, column) => row.cells[column].dataset.value ?? "";
const order = (a, b) => a === "" || b === "" ? (a === "") - (b === "") :
  isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
for (const head of document.querySelectorAll("table.sortable thead th"))
  head.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0], column = head.cellIndex;
    const sign = head.dataset.sign = head.dataset.sign === "1" ? -1 : 1;
    const rows = [...body.rows].sort(
      (a, b) => sign * order(value(a, column), value(b, column)));
    body.append(...rows);
  });
"""


def search_page(
    outcome: SearchOutcome,
    space: SearchSpace,
    title: str,
    pictures: Mapping[str, bytes],
    places: Sequence[tuple[float, float]],
) -> str:
    """Return the page as HTML; what comes from the run is escaped.

    Args:
        outcome: What was found.
        space: What was searched.
        title: Of the page.
        pictures: PNG files by ``pareto``, ``score`` and ``choices``.
        places: Where the candidates are in the first one, as shares from left and top.
    """
    captions = {
        "pareto": "Candidates on the whole validation set. The front is what no other "
        "candidate beats. Point at a candidate to read it.",
        "score": "The same by batch: the generation, step or trial.",
        "choices": "How often each value occurs among all of them and among the best "
        "quarter. A longer red bar than grey: the value does well.",
    }
    spots = {"pareto": _hovers(outcome, places)}
    parts = [
        f"<h1>{escape(title)}</h1>",
        _facts(outcome, space),
        f"<h2>Best ({len(outcome.best)})</h2>",
        _best(outcome, space),
        *(
            f'<figure><div class="picture"><img src="data:image/png;base64,'
            f'{b64encode(pictures[name]).decode("ascii")}" alt="{name}">'
            f"{spots.get(name, '')}</div><figcaption>{caption}</figcaption></figure>"
            for name, caption in captions.items()
        ),
        f"<h2>Failed ({len(outcome.failed)})</h2>",
        _failed(outcome.failed),
    ]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{body}\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _facts(outcome: SearchOutcome, space: SearchSpace) -> str:
    ways = {"max": "more is better", "min": "less is better"}
    seconds = round(sum(e.seconds for e in outcome.evaluations))
    others = len(outcome.evaluations) - sum(
        map(len, (outcome.full, outcome.partial, outcome.failed))
    )
    facts = {
        "space": f"{space!r}, {space.fingerprint()}",
        "looked for": ", ".join(
            f"{n} ({ways[way]})" for n, way in outcome.ways.items()
        ),
        "evaluations": f"{len(outcome.evaluations)}, of which {len(outcome.full)} on "
        f"the whole validation set, {len(outcome.partial)} on a part of it, "
        f"{len(outcome.failed)} failed"
        + (f", {others} without all that is looked for" if others else ""),
        "batches": str(len({e.batch for e in outcome.evaluations})),
        "time of evaluations": str(timedelta(seconds=seconds)),
    }
    rows = [f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items()]
    return f"<dl>{''.join(rows)}</dl>"


def _best(outcome: SearchOutcome, space: SearchSpace) -> str:
    if not outcome.best:
        return "<p>No candidate has a score.</p>"
    numbers = list(outcome.ways)
    for subnet in outcome.best:
        numbers += [name for name in values_of(subnet) if name not in numbers]
    names = short_names(space)
    heads = [("#", "rank"), *((label_of(name), name) for name in numbers)]
    heads += [(names[name], name) for name in space]
    rows = []
    for rank, subnet in enumerate(outcome.best, 1):
        values = values_of(subnet)
        cells = [_cell(str(rank), rank)]
        for name in numbers:
            text = number_text(name, values[name]) if name in values else ""
            cells.append(_cell(text, values.get(name, "")))
        cells += [_choice_cell(subnet.choices.get(name, "")) for name in space]
        rows.append(cells)
    return _table(heads, rows)


def _failed(failed: Sequence[Evaluation]) -> str:
    if not failed:
        return "<p>None.</p>"
    heads = [(name, "") for name in ("batch", "part", "error", "choices")]
    rows = [
        [
            _cell(str(e.batch), e.batch),
            _cell(f"{e.part:g}", e.part),
            f'<td class="text"{_data(e.error)}>{escape(str(e.error))}</td>',
            f'<td class="text">{escape(_choices(e.subnet))}</td>',
        ]
        for e in failed
    ]
    return _table(heads, rows)


def _table(heads: Iterable[tuple[str, str]], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(
        f'<th title="{escape(full)}">{escape(text)}</th>' for text, full in heads
    )
    body = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return (
        f'<div class="scroll"><table class="sortable"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(text: str, value: object) -> str:
    return f'<td class="number"{_data(value)}>{escape(text)}</td>'


def _choice_cell(value: Any) -> str:
    key = len(value) if isinstance(value, list) else value
    tip = f' title="{escape(shown(value))}"' if isinstance(value, list) else ""
    return f"<td{_data(key)}{tip}>{escape(value_text(value))}</td>"


def _data(value: object) -> str:
    return f' data-value="{escape(str(value))}"'


def _choices(subnet: Subnet) -> str:
    names = short_names(subnet.choices)
    pairs = subnet.choices.items()
    return ", ".join(f"{names[name]}={value_text(value)}" for name, value in pairs)


def _hovers(outcome: SearchOutcome, places: Sequence[tuple[float, float]]) -> str:
    """Return invisible spots over the candidates, of many over the best ones."""
    # The best on top.
    order = np.argsort(outcome.gain(), kind="stable")[-_MOST_HOVERS:]
    spots = []
    for i in order if places else ():
        evaluation, (left, top) = outcome.full[i], places[i]
        values = values_of(evaluation.subnet).items()
        lines = [
            f"{label_of(name)} {number_text(name, value)}" for name, value in values
        ]
        lines += [f"batch {evaluation.batch}", _choices(evaluation.subnet)]
        text = escape("\n".join(lines))
        spots.append(f'<i style="left:{left:.3%};top:{top:.3%}" title="{text}"></i>')
    return "".join(spots)
