"""Compare networks: a table for the console, a picture of their validation curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import cycle
from pathlib import Path

from ..core.files import write_atomically
from ..core.plain_table import PlainTable
from .figures import figure_type


@dataclass(frozen=True)
class ReportRow:
    """One network in a comparison.

    Args:
        name: What it is called.
        top1: Validation accuracy, in percent.
        params: Number of parameters.
        macs: Multiply-accumulates for one image.
        latency_ms: Median time of a forward pass of one image, in milliseconds.
        file_bytes: Size of its exported checkpoint.
    """

    name: str
    top1: float
    params: int
    macs: int
    latency_ms: float
    file_bytes: int


def comparison_table(rows: Sequence[ReportRow], title: str = "") -> PlainTable:
    """Return rows as a table for a rich console.

    Args:
        rows: The networks.
        title: Shown above.

    Raises:
        ValueError: If there are no rows.
    """
    if not rows:
        raise ValueError("A comparison needs at least one row.")
    table = PlainTable(title=title or None)
    table.add_column("network", style="cyan", no_wrap=True)
    for head in ("top-1 %", "params", "MACs", "CPU latency", "file size"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            f"{row.top1:.2f}",
            f"{row.params / 1e3:.1f} k",
            f"{row.macs / 1e6:.2f} M",
            f"{row.latency_ms:.2f} ms",
            f"{row.file_bytes / 2**10:.0f} KiB",
        )
    return table


def plot_curves(
    curves: Mapping[str, Mapping[int, float]],
    path: str | Path,
    level: tuple[str, float] | None = None,
    title: str = "",
) -> Path:
    """Draw validation top-1 by epoch as a PNG.

    Args:
        curves: By network, top-1 in percent by epoch (from 1).
        path: File to write.
        level: Name and height of a horizontal line, in percent.
        title: Shown above.

    Returns:
        The path written.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
        ValueError: If there are no curves.
    """
    if not any(curves.values()):
        raise ValueError("There are no validated epochs to draw.")
    figure_class = figure_type("Install it: pip install matplotlib")
    ticker = import_module("matplotlib.ticker")
    figure = figure_class(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for (name, curve), marker in zip(curves.items(), cycle("osD^vP*X"), strict=False):
        epochs = sorted(curve)
        heights = [curve[epoch] for epoch in epochs]
        axes.plot(epochs, heights, marker=marker, markersize=4, label=name)
    if level is not None:
        name, height = level
        axes.axhline(height, color="0.45", linestyle="--", linewidth=1, label=name)
    axes.set_ylim(*_limits([v for curve in curves.values() for v in curve.values()]))
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation top-1 (%)")
    axes.set_title(title)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return write_atomically(path, lambda place: figure.savefig(place, dpi=110))


def _limits(heights: Sequence[float]) -> tuple[float, float]:
    """Return limits that show the upper part; one poor first epoch may fall below."""
    ranked = sorted(heights)
    low = ranked[len(ranked) // 6]
    span = max(ranked[-1] - low, 1.0)
    return max(low - 0.25 * span, 0.0), min(ranked[-1] + 0.1 * span, 100.0)
