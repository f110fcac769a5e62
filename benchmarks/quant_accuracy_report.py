"""Sum up the runs of ``quant_accuracy.py`` over their seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accuracy_runs import mean_and_spread
from prune_accuracy_configs import Run
from quant_accuracy_configs import VARIANTS
from rich.table import Table

Results = Mapping[Run, Mapping[str, Any]]


def totals(results: Results) -> list[dict[str, Any]]:
    """Return one row for each network and way, over the seeds.

    ``score`` is the top-1 accuracy in percent, ``change`` its difference from the float
    network of the same seed. Rows are in the order of the table of variants.
    """
    order = ["dense", "control", *VARIANTS]
    rows: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(results, key=lambda r: (r.network, order.index(r.method), r)):
        rows.setdefault((run.network, run.method), []).append(run)
    found = []
    for (network, method), runs in rows.items():
        variant = VARIANTS.get(method)
        scores = [results[run]["score"] for run in runs]
        floats = [results[Run(run.seed, network, "dense")]["score"] for run in runs]
        changes = [a - b for a, b in zip(scores, floats, strict=True)]
        row: dict[str, Any] = {
            "network": network,
            "bits": "float" if variant is None else variant.bits,
            "method": method if variant is None else variant.method,
            "score": {"values": scores, **mean_and_spread(scores)},
            "change": mean_and_spread(changes),
            "seconds": round(sum(results[run]["seconds"] for run in runs), 1),
        }
        runtime = [results[run]["runtime"] for run in runs if "runtime" in results[run]]
        if runtime:
            row["runtime"] = _over_seeds(runtime)
        found.append(row)
    return found


def _over_seeds(found: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means of accuracies, and the worst of what is to be equal."""
    return {
        "onnx": mean_and_spread([one["onnx"] for one in found]),
        "torch": mean_and_spread([one["torch"] for one in found]),
        "same_least": min(one["same"] for one in found),
        "steps_at_first_most": max(one["steps_at_first"] for one in found),
        "first_layers": [one["first_layer"] for one in found],
        "first_layer_other": max(one["first_layer_other"] or 0.0 for one in found),
        "last_layer_other": max(one["last_layer_other"] for one in found),
        "images_equal": [one["images_equal"] for one in found],
        "bytes": found[0]["bytes"],
    }


def table_of(rows: list[dict[str, Any]]) -> Table:
    """Return the accuracies as a table for people."""
    table = Table("network", "bits", "method", title="top-1 on CIFAR-10, percent")
    for name in ("top-1", "change"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row["network"],
            row["bits"],
            row["method"],
            text_of(row["score"]),
            text_of(row["change"], sign="+"),
        )
    return table


def runtime_table_of(rows: list[dict[str, Any]]) -> Table:
    """Return what ONNX Runtime made of the rows that it ran."""
    table = Table("network", "bits", "method", title="in ONNX Runtime")
    names = ("top-1", "same class, least", "steps at first difference", "KB")
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        if "runtime" not in row:
            continue
        found = row["runtime"]
        table.add_row(
            row["network"],
            row["bits"],
            row["method"],
            text_of(found["onnx"]),
            f"{found['same_least']:.2f}",
            f"{found['steps_at_first_most']}",
            f"{found['bytes'] / 1000:.0f}",
        )
    return table


def text_of(found: Mapping[str, Any], sign: str = "") -> str:
    """Return mean and spread, which one seed alone lacks.

    Example:
        >>> text_of({"mean": 71.257, "std": 0.32}), text_of({"mean": 1, "std": None})
        ('71.26 +- 0.32', '1.00')
    """
    text = f"{found['mean']:{sign}.2f}"
    return text if found["std"] is None else f"{text} +- {found['std']:.2f}"
