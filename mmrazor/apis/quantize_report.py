"""What tools/quantize.py prints and writes of a quantized model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ..core.files import write_atomically
from ..core.plain_table import PlainTable
from ..models.quantizers import ChosenBits, LayerError, QuantReport
from .bits_report import BitsFiles, bits_table
from .commands import tool_command
from .figures import figure_type
from .onnx import OnnxInfo
from .reading_back import onnx_lines

_SHOWN = 60


@dataclass(frozen=True)
class QuantizeInfo:
    """What was quantized, and the files written.

    Args:
        report: What became of every layer.
        errors: By method, the errors of the layers that it worked on.
        checkpoint: Weights and ranges, with the keys of an Algorithm.
        config: Config that tests the quantized model, or trains it on.
        report_file: The report and where it comes from, as JSON.
        picture: The ratios of signal to error by layer; None without matplotlib.
        bits: What a search for bit-widths found, if there was one, and its files.
        onnx: The ONNX file, if one was written.
        onnx_refusal: Why none was, if one was asked for.
        num_batches: Calibration batches used.
        image_size: Height and width of the image that the places were found with.
        reload_difference: Of the output of the model built from the files; 0.
    """

    report: QuantReport
    errors: Mapping[str, Sequence[LayerError]]
    checkpoint: Path
    config: Path
    report_file: Path
    picture: Path | None
    bits: BitsFiles | None
    onnx: OnnxInfo | None
    onnx_refusal: str
    num_batches: int
    image_size: tuple[int, int]
    reload_difference: float


def report(info: QuantizeInfo) -> Group:
    """Return everything that is worth knowing of a quantized model, for a console."""
    parts: list[RenderableType] = [info.report.table()]
    if info.bits is not None:
        parts.append(bits_table(info.bits.found))
    if any(info.errors.values()):
        parts.append(errors_table(info.errors))
    # Whole lines, so that commands can be copied.
    lines = [*_files(info), "", *_next(info)]
    parts += [Text(line, no_wrap=True, overflow="ignore") for line in lines]
    return Group(*parts)


def errors_table(errors: Mapping[str, Sequence[LayerError]]) -> PlainTable:
    """Return one row for each method: how much smaller the errors of layers are."""
    table = PlainTable(title="Methods")
    table.add_column("method")
    for name in ("layers", "better", "median error after / before"):
        table.add_column(name, justify="right")
    for name, layers in errors.items():
        if not layers:
            continue
        ratios = sorted(one.after / one.before for one in layers if one.before)
        better = sum(one.after < one.before for one in layers)
        middle = f"{ratios[len(ratios) // 2]:.3g}" if ratios else ""
        table.add_row(name, str(len(layers)), str(better), middle)
    return table


def plain_report(
    info_of: QuantReport, errors: Mapping[str, Any], bits: ChosenBits | None = None
) -> dict[str, Any]:
    """Return a report as JSON takes it: no infinite numbers.

    Args:
        info_of: What became of every layer.
        errors: By method, the errors of layers.
        bits: What a search for bit-widths found, if there was one.
    """
    listed = {name: [asdict(one) for one in many] for name, many in errors.items()}
    searched = {} if bits is None else {"mixed_precision": bits.to_dict()}
    found = _finite({**info_of.to_dict(), "errors": listed, **searched})
    assert isinstance(found, dict)
    return found


def draw_layers(report: QuantReport, path: Path) -> Path:
    """Write a picture of the ratio of signal to error of each layer's output.

    Args:
        report: What became of every layer.
        path: The suffix says the format (``.png``, ``.svg``).

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    figure_class = figure_type("Install it: pip install matplotlib.")
    layers = [one for one in report.layers if one.sqnr_db is not None]
    shown = [one for one in layers if math.isfinite(one.sqnr_db or 0.0)]
    width = min(max(6.0, 1.5 + 0.22 * len(shown)), 40.0)
    figure = figure_class(figsize=(width, 5.0), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(shown))
    colours = ["0.7" if one.why_float else "#4c78a8" for one in shown]
    axes.bar(places, [one.sqnr_db for one in shown], color=colours)
    many = len(shown) > _SHOWN
    names = [] if many else [one.site for one in shown]
    axes.set_xticks([] if many else list(places), names, rotation=90, fontsize=8)
    axes.set_xlabel("layers, in the order of the run; grey: in float", fontsize=11)
    axes.set_ylabel("signal to quantization error (dB)", fontsize=11)
    axes.set_title(f"{report.model} for {report.backend}", fontsize=12)
    axes.grid(axis="y", alpha=0.3)
    return write_atomically(path, lambda place: figure.savefig(place, dpi=110))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _files(info: QuantizeInfo) -> list[str]:
    lines = [
        f"calibration batches: {info.num_batches}",
        f"difference after reading the files back: {info.reload_difference:.0e}",
        f"weights and ranges: {info.checkpoint}",
        f"config: {info.config}",
        f"report: {info.report_file}",
    ]
    if info.picture is not None:
        lines.append(f"picture: {info.picture}")
    if info.bits is not None:
        lines.append(f"bit-widths: {info.bits.subnet}")
    if info.bits is not None and info.bits.picture is not None:
        lines.append(f"picture of bit-widths: {info.bits.picture}")
    return [*lines, *onnx_lines(info.onnx, info.onnx_refusal)]


def _next(info: QuantizeInfo) -> list[str]:
    return [
        "Next:",
        f"  {tool_command('test', info.config, info.checkpoint)}",
        f"  {tool_command('train', info.config)}",
    ]
