"""What ``quant_photos.py`` shows of its results: a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from ptq_sessions import RUNTIMES
from rich.table import Table

from mmrazor.core.files import write_atomically

_NAMES = ("bytes", "top1", "photos_agree", "views_agree", "sqnr_db", "seconds")


def table_of(results: Sequence[dict[str, Any]]) -> Table:
    """Return the results for people."""
    table = Table(title="quantized after training, no labels")
    table.add_column("model")
    table.add_column("variant", overflow="fold")
    for name in _NAMES:
        table.add_column(name, justify="right")
    for one in results:
        table.add_row(one["model"], one["variant"], *(f"{one[n]:g}" for n in _NAMES))
        for runtime in RUNTIMES:
            if runtime in one:
                inside = one[runtime]
                shown = [f"{inside[n]:g}" for n in _NAMES[1:-1]]
                table.add_row("", f"  in {runtime}", f"x{inside['speed_up']:g}", *shown)
    return table


def picture(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw how often each variant agrees with the float network, and how closely.

    Args:
        results: One for each network and variant.
        path: Where the picture goes.
    """
    rows = list(reversed(results))
    names = [f"{row['model']}, {row['variant']}" for row in rows]
    figure = Figure(figsize=(9, 1.2 + 0.28 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(names, [100 * row["views_agree"] for row in rows])
    left.set(xlabel="views with the float network's class, %", xlim=(0, 100))
    right.barh(names, [row["sqnr_db"] for row in rows], color="tab:orange")
    right.set(xlabel="logits, signal to error, dB")
    for axis in (left, right):
        axis.grid(axis="x", alpha=0.3)
    write_atomically(path, lambda part: figure.savefig(part, dpi=120))
