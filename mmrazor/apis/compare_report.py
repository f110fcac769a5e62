"""What a comparison of models found: numbers, a table, JSON."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from ..core.cost import LatencyStats
from ..core.files import write_json
from ..core.plain_table import PlainTable
from .prune_report import count_text
from .weights_file import size_text

_NAME_WIDTH = 16  # of a model in a terminal of 80 columns


@dataclass(frozen=True)
class ComparedModel:
    """One model of a comparison.

    Args:
        name: What it is called.
        config: Its config.
        file: Its checkpoint, or its ONNX file.
        metrics: What the evaluator of the config gives; empty without a test.
        macs: For one image.
        params: Parameters of the Architecture, before anything is folded.
        image_size: Height and width of that image.
        onnx_bytes: Size of its ONNX file; None if there is none.
        latency: Of one image in ONNX Runtime; None if it was not measured.
        refusal: Why it has no ONNX file, or was not timed; empty if it has and was.
    """

    name: str
    config: str
    file: str
    metrics: dict[str, float]
    macs: int
    params: int
    image_size: tuple[int, int]
    onnx_bytes: int | None
    latency: LatencyStats | None
    refusal: str


@dataclass(frozen=True)
class Comparison:
    """Models beside each other; all are compared with the first.

    Args:
        models: The models, in the order that was asked for.
        metric: The metric that is shown; None without a test.
        processor: Where the latency was measured.
    """

    models: tuple[ComparedModel, ...]
    metric: str | None
    processor: str

    def columns(self) -> dict[str, list[float | None]]:
        """Return the numbers that are shown, by what they are; None for no number."""
        found: dict[str, list[float | None]] = {}
        if self.metric is not None:
            found[self.metric] = [one.metrics[self.metric] for one in self.models]
        found["MACs"] = [one.macs for one in self.models]
        found["parameters"] = [one.params for one in self.models]
        found["ONNX file"] = [one.onnx_bytes for one in self.models]
        times = [one.latency for one in self.models]
        found["latency"] = [None if one is None else one.median_ms for one in times]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        return asdict(self)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write :meth:`to_dict` to a JSON file."""
        return write_json(Path(path), self.to_dict())

    def table(self) -> Group:
        """Return a row for each model, with its share of the first one's numbers."""
        table = PlainTable(title="Models, and their share of the first")
        widest = max(len(one.name) for one in self.models)
        table.add_column("model", overflow="fold", min_width=min(widest, _NAME_WIDTH))
        columns = self.columns()
        for name in columns:
            table.add_column(name, justify="right")
        texts = [column_texts(name, numbers) for name, numbers in columns.items()]
        for model, row in zip(self.models, zip(*texts, strict=True), strict=True):
            table.add_row(model.name, *row)
        lines = [self.conditions()]
        lines += [f"{one.name}: {one.refusal}" for one in self.models if one.refusal]
        return Group(table, *map(Text, lines))

    def conditions(self) -> str:
        """Return what the numbers are for, as a line."""
        sizes = {one.image_size: None for one in self.models}
        images = ", ".join(f"{height} x {width}" for height, width in sizes)
        return (
            f"one image of {images}; latency: median of ONNX Runtime on one thread, "
            f"in turns, {self.processor}"
        )


def column_texts(name: str, numbers: list[float | None]) -> list[str]:
    """Return the cells of a column; costs have the share of the first one behind them.

    Args:
        name: A key of :meth:`Comparison.columns`.
        numbers: The column.

    Example:
        >>> column_texts('MACs', [8_000_000, 2_000_000, None])
        ['8 M', '2 M (25.0%)', '-']
        >>> column_texts('accuracy/top1', [91.25, 90.5])
        ['91.25', '90.5']
    """
    show = _SHOWN.get(name)
    if show is None:
        return ["-" if one is None else f"{one:.4g}" for one in numbers]
    first = numbers[0]
    cells = []
    for place, number in enumerate(numbers):
        if number is None:
            cells.append("-")
        elif place and first:
            cells.append(f"{show(number)} ({number / first:.1%})")
        else:
            cells.append(show(number))
    return cells


_SHOWN: dict[str, Callable[[Any], str]] = {
    "MACs": count_text,
    "parameters": count_text,
    "ONNX file": size_text,
    "latency": lambda number: f"{number:.3g} ms",
}
