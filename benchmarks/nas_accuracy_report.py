"""What ``nas_accuracy.py`` makes of its scores: statistics, a table, a picture."""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accuracy_runs import mean_and_spread
from rich.table import Table

from mmrazor.apis.figures import figure_type
from mmrazor.core.files import write_atomically
from mmrazor.core.searchers.rank_correlation import kendall, spearman

Row = Mapping[str, Any]


def compared(winner: Row, again: Sequence[float], drawn: Sequence[Row]) -> dict:
    """Return how the winner stands among the drawn Subnets.

    Args:
        winner: Its row, with ``standalone`` from the first seed, as of all others.
        again: Its stand-alone scores with all seeds.
        drawn: Rows of the Subnets drawn by chance.
    """
    scores = sorted(row["standalone"] for row in drawn)
    return {
        "winner": winner["standalone"],
        "winner_over_seeds": {"values": list(again), **mean_and_spread(list(again))},
        "drawn_median": round(statistics.median(scores), 4),
        "drawn_best": scores[-1],
        "drawn_worst": scores[0],
        "winner_above": sum(winner["standalone"] > score for score in scores),
        "drawn": len(scores),
    }


def correlations(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return rank correlations of stand-alone scores with what is known before.

    MACs beside the supernet's score: what a search gains over taking the largest.
    """
    truth = [row["standalone"] for row in rows]
    return {
        name: {
            measure.__name__: round(measure([row[name] for row in rows], truth), 3)
            for measure in (spearman, kendall)
        }
        for name in ("supernet", "macs")
    }


def tables(result: Mapping[str, Any]) -> list[Table]:
    """Return the result as tables for people."""
    subnets = Table("subnet", title="top-1 in percent")
    for name in ("MACs", "params", "in the supernet", "stand-alone"):
        subnets.add_column(name, justify="right")
    for row in sorted(result["subnets"], key=lambda row: -row["standalone"]):
        numbers = f"{row['macs']:,}", f"{row['params']:,}"
        scores = f"{row['supernet']:.2f}", f"{row['standalone']:.2f}"
        subnets.add_row(row["name"], *numbers, *scores)
    ranks = Table("rank correlation with stand-alone", "Spearman", "Kendall")
    for among, found in result["correlation"].items():
        for name, values in found.items():
            numbers = f"{values['spearman']:.3f}", f"{values['kendall']:.3f}"
            ranks.add_row(f"{name}, {among}", *numbers)
    phases = Table("phase")
    for name in ("seconds", "processor"):
        phases.add_column(name, justify="right")
    for name, times in result["phases"].items():
        phases.add_row(name, f"{times['seconds']:.0f}", f"{times['cpu_seconds']:.0f}")
    return [subnets, ranks, phases]


def draw(path: Path, result: Mapping[str, Any]) -> Path | None:
    """Draw stand-alone against supernet score; None where matplotlib is missing."""
    try:
        figure_class = figure_type("The numbers are printed all the same.")
    except ModuleNotFoundError:
        return None
    figure = scatter(result, figure_class)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    return write_atomically(path, lambda p: p.write_bytes(buffer.getvalue()))


def scatter(result: Mapping[str, Any], figure_class: Callable[..., Any]) -> Any:
    """Return the figure: one point for each Subnet, the winner marked."""
    figure = figure_class(figsize=(7.0, 5.0), layout="constrained")
    axes = figure.subplots()
    winner, *drawn = result["subnets"]
    points = axes.scatter(
        [row["supernet"] for row in drawn],
        [row["standalone"] for row in drawn],
        c=[row["macs"] / 1e6 for row in drawn],
        s=45,
        label="drawn by chance",
    )
    figure.colorbar(points, label="M MACs")
    seeds = result["comparison"]["winner_over_seeds"]["values"]
    axes.scatter(
        [winner["supernet"]] * len(seeds),
        seeds,
        marker="*",
        s=190,
        color="#d1495b",
        edgecolor="black",
        linewidth=0.5,
        label="found by the search, by seed",
    )
    median = result["comparison"]["drawn_median"]
    axes.axhline(median, color="grey", linestyle="--", label="median of those drawn")
    axes.set_xlabel("top-1 with the supernet's weights, images kept aside (%)")
    axes.set_ylabel("top-1 trained alone, test images (%)")
    found = result["correlation"]["drawn"]["supernet"]
    axes.set_title(
        f"{len(drawn)} drawn: Spearman {found['spearman']:.2f}, "
        f"Kendall {found['kendall']:.2f}"
    )
    axes.legend(loc="lower right")
    return figure
