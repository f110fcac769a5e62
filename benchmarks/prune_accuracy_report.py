"""Sum up the runs of ``prune_accuracy.py`` over their seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accuracy_runs import mean_and_spread
from prune_accuracy_configs import Run
from rich.table import Table


def totals(results: Mapping[Run, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each network, method, budget and teacher, over the seeds.

    Scores are those after fine-tuning (``score``) and right after pruning
    (``pruned``); costs are shares of the dense network's.
    """
    rows: dict[tuple, list[tuple[Run, Mapping[str, Any]]]] = {}
    for run, result in sorted(results.items()):
        key = (run.network, run.method, run.budget, run.kd)
        rows.setdefault(key, []).append((run, result))
    found = []
    for (network, method, budget, kd), seeds in rows.items():
        row: dict[str, Any] = {
            "network": network,
            "method": method,
            "budget": budget,
            "kd": kd,
        }
        for name in ("pruned", "score"):
            values = [result[name] for _, result in seeds if name in result]
            if values:
                row[name] = {"values": values, **mean_and_spread(values)}
        for name in ("macs", "params"):
            shares = [
                result[name] / results[Run(run.seed, network, "dense")][name]
                for run, result in seeds
            ]
            row[name] = mean_and_spread(shares)["mean"]
        found.append(row)
    return found


def table_of(rows: list[dict[str, Any]]) -> Table:
    """Return the rows as a table for people."""
    table = Table("network", "method", "KD")
    for name in ("MACs", "params", "right after pruning", "at the end"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row["network"],
            row["method"],
            "yes" if row["kd"] else "",
            f"{row['macs']:.1%}",
            f"{row['params']:.1%}",
            _text(row.get("pruned")),
            _text(row["score"]),
        )
    return table


def _text(found: Mapping[str, Any] | None) -> str:
    """Return mean and spread; nothing where a method never stops between the two.

    Example:
        >>> _text({"mean": 71.257, "std": 0.32}), _text(None)
        ('71.26 +- 0.32', '')
    """
    if found is None:
        return ""
    # Accuracies are percent, average precisions are at most 1.
    digits = 3 if abs(found["mean"]) <= 1 else 2
    spread = found["std"]
    text = f"{found['mean']:.{digits}f}"
    return text if spread is None else f"{text} +- {spread:.{digits}f}"
