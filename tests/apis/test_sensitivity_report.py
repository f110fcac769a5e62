"""Order, table and picture of a sensitivity analysis."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from mmrazor.apis.sensitivity_picture import draw_sensitivity
from mmrazor.apis.sensitivity_report import (
    GroupSensitivity,
    SensitivityReport,
    checked_shares,
    units_left,
)


def group(name: str, *scores: float | None) -> GroupSensitivity:
    return GroupSensitivity(name, 8, 16, (6, 2), scores, (800, 400))


def report(*groups: GroupSensitivity, lower: bool = False) -> SensitivityReport:
    left = {"head.out": "is an output of the network"}
    numbers = dict(dense=80.0, macs=1000, image_size=(8, 16), shares=(0.25, 0.75))
    return SensitivityReport(
        "Net", "val", "acc", lower, groups=groups, left_alone=left, **numbers
    )


GROUPS = (group("a", 80, 78), group("b", 70, 30), group("c", 81, 79))


def test_the_most_sensitive_comes_first() -> None:
    found = report(*GROUPS, group("d", 79, math.nan), group("e", None, 80))
    # Means of what is lost: 1, 30, 0.
    assert [found.loss(g) for g in GROUPS] == [1, 30, 0]
    assert [g.name for g in found.ranked()] == ["d", "e", "b", "a", "c"]
    error = report(*GROUPS, lower=True)
    assert [error.loss(g) for g in GROUPS] == [-1, -30, 0]
    assert [g.name for g in error.ranked()] == ["c", "a", "b"]


def test_the_table_and_the_file(tmp_path: Path) -> None:
    found = report(*GROUPS, group("broken", None, math.nan))
    console = Console(file=io.StringIO(), width=100)
    console.print(found.table())
    text = console.file.getvalue()
    rows = [line for line in text.splitlines() if "60.0%" in line]
    assert [row.split()[1] for row in rows] == ["broken", "b", "a", "c"]
    assert rows[1].split("│")[1:-1] == [
        *(" b                ", "       16 ", "  70 ", "  30 ", "   30 ", " 60.0% ")
    ]
    assert "whole: acc 80, 1,000 MACs for one image of 8 x 16" in text
    assert "is an output of the network" in text
    data = json.loads(found.write(tmp_path / "a.json").read_text())
    assert data["groups"][1]["scores"] == [70, 30]
    assert data["groups"][3]["scores"] == [None, None]
    assert data["groups"][3]["mean_loss"] is None
    assert (data["metric"], data["dense"], data["shares"]) == (
        "acc",
        80.0,
        [0.25, 0.75],
    )


@pytest.mark.parametrize("number", [1, 8, 9, 40])
def test_pictures(number: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    groups = [group(f"layer{i}.conv.out", 80 - i, None) for i in range(number)]
    path = draw_sensitivity(report(*groups), tmp_path / "a.svg")
    text = path.read_text()
    # Every group is named; few are lines, many a map with a number in each cell.
    assert all(f"layer{i}.conv.out" in text for i in range(number))
    assert ("nothing pruned: 80" in text) == (number > 8)


@pytest.mark.parametrize(
    ("size", "share", "left"),
    [
        (10, 0.1, 9),
        (10, 0.35, 6),
        (3, 0.5, 1),
        (1, 0.9, 1),
        (64, 0.99, 1),
        (5, 0.05, 5),
    ],
)
def test_units_left(size: int, share: float, left: int) -> None:
    assert units_left(size, share) == left


def test_shares() -> None:
    assert checked_shares([0.9, 0.1, 0.9]) == (0.1, 0.9)
    for wrong in ([], [0], [0.5, 1], [-0.1]):
        with pytest.raises(ValueError, match=r"above 0 and below 1, such as 0.3"):
            checked_shares(wrong)
