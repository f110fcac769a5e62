"""What ``search_scaling.py`` makes of its times: ratios, shares, a table."""

from __future__ import annotations

import statistics
from typing import Any

from rich.table import Table

GOALS = {"speed_up": 1.8, "framework_share": 0.02}
_CLOCKS = ("wall", "cpu")


def scaling(turns: list[tuple[dict, dict, list[dict]]]) -> dict[str, Any]:
    """Return how searches by one and by two processes compare.

    Args:
        turns: Of each turn a search by one process, one by two, and two by one process
            each that ran at the same time.
    """
    every = [side for one, two, pair in turns for side in (one, two, *pair)]
    first = every[0]
    same = all(side["rows"] == first["rows"] for side in every)
    best = first["ranks"][0]["best"]
    result = all(one["best"] == best for side in every for one in side["ranks"])
    found: dict[str, Any] = {
        "candidates": len(first["rows"]),
        "same_candidates_and_scores": same,
        "same_result": result,
        "evaluations_by_rank": [one["evaluations"] for one in turns[0][1]["ranks"]],
        "whole_command_s": [
            round(statistics.median(turn[i]["whole_s"] for turn in turns), 1)
            for i in (0, 1)
        ],
    }
    for place, clock in enumerate(_CLOCKS):
        loops = [
            (_loop_s([one], place), _loop_s([two], place), _loop_s(pair, place))
            for one, two, pair in turns
        ]
        ratios = sorted(one / two for one, two, _ in loops)
        found[clock] = {
            "loop_s": [
                round(statistics.median(side), 2) for side in zip(*loops, strict=True)
            ],
            "speed_up": round(statistics.median(ratios), 3),
            "speed_up_range": [round(ratios[0], 3), round(ratios[-1], 3)],
            "machine": round(statistics.median(2 * one / p for one, _, p in loops), 3),
            "of_machine": round(statistics.median(p / 2 / t for _, t, p in loops), 3),
        }
    return found


def _loop_s(searches: list[dict], place: int) -> float:
    """Return the seconds of the slowest process, by the clock at this place."""
    ranks = [one for search in searches for one in search["ranks"]]
    return float(max(one["seconds"]["loop"][place] for one in ranks))


def framework_share(alone: list[dict]) -> dict[str, Any]:
    """Return what searches by one process took beside their evaluations."""
    found = {}
    for place, clock in enumerate(_CLOCKS):
        shares, extra = [], []
        for side in alone:
            (one,) = side["ranks"]
            whole = one["seconds"]["loop"][place]
            inside = one["seconds"]["evaluations"][place]
            shares.append((whole - inside) / inside)
            extra.append(1e3 * (whole - inside) / one["evaluations"])
        found[clock] = {
            "share": round(statistics.median(shares), 5),
            "ms_per_candidate": round(statistics.median(extra), 3),
        }
    return found


def table_of(result: dict[str, Any]) -> Table:
    """Return the result as a table for people."""
    table = Table("what", "goal", "wall", "processor")
    pair, share, shared = (result[k] for k in ("processes", "framework", "shared"))
    table.add_row("loop by one process, s", "", *_loops(pair, 0))
    table.add_row("loop by two processes, s", "", *_loops(pair, 1))
    speed = [f"{pair[c]['speed_up']:.2f} {pair[c]['speed_up_range']}" for c in _CLOCKS]
    table.add_row("speed-up [range]", f">= {GOALS['speed_up']}", *speed)
    for key, text in (
        ("machine", "two searches at the same time: what two cores give"),
        ("of_machine", "speed-up / what two cores give"),
    ):
        table.add_row(text, "", *(f"{pair[c][key]:.2f}" for c in _CLOCKS))
    same = pair["same_candidates_and_scores"] and pair["same_result"]
    table.add_row("same candidates, scores, result", "yes", "yes" if same else "NO", "")
    shares = [f"{share[c]['share']:.2%}" for c in _CLOCKS]
    table.add_row(
        "framework / evaluations", f"<= {GOALS['framework_share']:.0%}", *shares
    )
    beside = [f"{share[c]['ms_per_candidate']:.1f}" for c in _CLOCKS]
    table.add_row("framework, ms a candidate", "", *beside)
    for name in ("lost", "twice"):
        table.add_row(f"one of two workers killed: {name}", "0", str(shared[name]), "")
    return table


def _loops(pair: dict[str, Any], place: int) -> list[str]:
    return [f"{pair[clock]['loop_s'][place]:.1f}" for clock in _CLOCKS]
