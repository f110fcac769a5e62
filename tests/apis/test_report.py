"""The comparison's table and picture."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mmrazor.apis.report import ReportRow, comparison_table, plot_curves

ROWS = [
    ReportRow("teacher", 90.125, 175_258, 5_654_016, 1.234, 720_896),
    ReportRow("student alone", 87.5, 44_266, 1_447_040, 0.7, 206_848),
]


def rendered(rows: list[ReportRow], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(comparison_table(rows, "title"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_table_shows_every_number_in_80_columns() -> None:
    text = rendered(ROWS)
    cells = [line.split("│")[1:-1] for line in text.splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in cells] == [
        ["teacher", "90.12", "175.3 k", "5.65 M", "1.23 ms", "704 KiB"],
        ["student alone", "87.50", "44.3 k", "1.45 M", "0.70 ms", "202 KiB"],
    ]
    assert "…" not in text


def test_table_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        comparison_table([])


def test_picture_is_a_small_png_with_a_line_for_each_network(tmp_path: Path) -> None:
    curves = {"alone": {1: 70.0, 2: 80.0}, "distilled": {1: 72.0, 2: 82.0}}
    one = plot_curves({"alone": curves["alone"]}, tmp_path / "one.png")
    two = plot_curves(curves, tmp_path / "new" / "two.png", ("teacher", 85.0), "title")
    assert two.stat().st_size < 100_000
    orange = np.array([255, 127, 14])  # matplotlib's second colour
    counts = []
    for path in (one, two):
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        counts.append(int((abs(pixels - orange).sum(-1) < 6).sum()))
    assert counts[0] == 0
    assert counts[1] > 50


def test_picture_takes_a_single_epoch(tmp_path: Path) -> None:
    assert plot_curves({"alone": {1: 50.0}}, tmp_path / "a.png").is_file()


def test_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no validated epochs"):
        plot_curves({"alone": {}}, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_missing_matplotlib_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match="pip install matplotlib"):
        plot_curves({"alone": {1: 50.0}}, tmp_path / "a.png")
