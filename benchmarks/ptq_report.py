"""What ``ptq_vs_peers.py`` shows of its results, and which goals they meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

#: int8 calibration over that of torch's FX mode, and the latency of an int8 file over
#: that of the fastest other one in the same runtime.
CALIBRATION_GOAL, LATENCY_GOAL = 1.0, 1.02
_OURS, _FX = "ours", "torch FX"
_NAMES = ("quantize_s", "float_ms", "int8_ms", "speed_up", "sqnr_db", "agreement")


def table_of(results: Sequence[dict[str, Any]]) -> Table:
    """Return the results for people."""
    table = Table(title="int8 after training, one thread, one image")
    table.add_column("model")
    table.add_column("side", overflow="fold")
    for name in _NAMES:
        table.add_column(name, justify="right")
    for one in results:
        if "failed" in one:
            table.add_row(one["model"], one["side"], one["failed"])
        else:
            table.add_row(one["model"], one["side"], *(f"{one[n]:g}" for n in _NAMES))
    return table


def goals_met(
    results: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return by goal what is to be compared with it; what failed is left out.

    Args:
        results: One for each side and model.
        pairs: One for each runtime and model: files of several sides in turns.
    """
    done = [one for one in results if "failed" not in one]
    fx = {one["model"]: one["quantize_s"] for one in done if one["side"] == _FX}
    calibration = {
        f"{one['model']}, {one['side']}": one["quantize_s"] / fx[one["model"]]
        for one in done
        if one["side"].startswith(_OURS) and one["model"] in fx
    }
    latency = {
        f"{pair['model']}, {pair['runtime']}": max(pair["ours_over"].values())
        for pair in pairs
        if pair.get("ours_over")
    }
    return {
        "calibration_over_fx": _held(calibration, CALIBRATION_GOAL),
        "latency_over_best": _held(latency, LATENCY_GOAL),
    }


def _held(found: dict[str, float], goal: float) -> dict[str, Any]:
    rounded = {name: round(value, 3) for name, value in found.items()}
    return {
        "goal": goal,
        "met": {name: value for name, value in rounded.items() if value <= goal},
        "missed": {name: value for name, value in rounded.items() if value > goal},
    }
