"""What tools/prune.py prints: every group, the totals, what was left alone, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from ..core.plain_table import PlainTable
from ..models.pruners import Pruned
from .commands import tool_command
from .onnx import OnnxInfo
from .reading_back import onnx_lines
from .weights_file import size_text

_SHOWN = 4


@dataclass(frozen=True)
class PruneInfo:
    """What was pruned, and the files written.

    Args:
        pruned: The pruned model, its cost and what was left alone.
        subnet: The Subnet file.
        checkpoint: Weights with the Architecture's own keys, and ``dataset_meta``.
        config: Config that trains the pruned model on.
        onnx: The ONNX file, if one was written.
        onnx_refusal: Why none was, if one was asked for.
        layers: Modules that make the channels of each group.
        channels: Channels of one unit of each group.
        image_size: Height and width that the costs are for.
        dense_bytes: Size of the weights before, as a file.
        dense_latency_ms: Measured if the budget bounds it.
        reload_difference: Of the output of the model built from the files; 0.
        not_trained: Why no step of training was tried; empty if one ran.
    """

    pruned: Pruned
    subnet: Path
    checkpoint: Path
    config: Path
    onnx: OnnxInfo | None
    onnx_refusal: str
    layers: Mapping[str, Sequence[str]]
    channels: Mapping[str, int]
    image_size: tuple[int, int]
    dense_bytes: int
    dense_latency_ms: float | None
    reload_difference: float
    not_trained: str


def report(info: PruneInfo) -> Group:
    """Return everything that is worth knowing of a pruned model, for a rich console."""
    parts: list[RenderableType] = [groups_table(info), totals_table(info)]
    if info.pruned.unprunable:
        parts.append(left_alone_table(info.pruned.unprunable))
    lines = [*_files(info), "", *_next(info)]
    # Whole lines, so that commands can be copied.
    parts += [Text(line, no_wrap=True, overflow="ignore") for line in lines]
    return Group(*parts)


def groups_table(info: PruneInfo) -> PlainTable:
    """Return one row for each group of channels, in the order of the network.

    The MACs are those of the layers that make the channels.
    """
    table = PlainTable(title=f"Channels of {type(info.pruned.model).__name__}")
    table.add_column("group", overflow="fold")
    for name in ("channels", "kept", "share", "MACs", "after"):
        table.add_column(name, justify="right")
    before = info.pruned.dense_cost.by_module()
    after = info.pruned.cost.by_module()
    for name, size in info.pruned.sizes.items():
        kept, width = len(info.pruned.kept[name]), info.channels[name]
        macs = [
            sum(cost[module].macs for module in info.layers[name] if module in cost)
            for cost in (before, after)
        ]
        table.add_row(
            name,
            str(size * width),
            str(kept * width),
            f"{kept / size:.0%}",
            *map(count_text, macs),
        )
    return table


def totals_table(info: PruneInfo) -> PlainTable:
    """Return the cost of the whole model before and after."""
    dense, cost = info.pruned.dense_cost, info.pruned.cost
    height, width = info.image_size
    table = PlainTable(title=f"Total, for one image of {height} x {width}")
    table.add_column("")
    for name in ("before", "after", "share"):
        table.add_column(name, justify="right")

    def row(name: str, before: float, after: float, texts: Sequence[str]) -> None:
        table.add_row(name, *texts, f"{after / before:.1%}" if before else "")

    row("MACs", dense.macs, cost.macs, [count_text(dense.macs), count_text(cost.macs)])
    row(
        "parameters",
        dense.params,
        cost.params,
        [count_text(dense.params), count_text(cost.params)],
    )
    size = info.checkpoint.stat().st_size
    sizes = [size_text(info.dense_bytes), size_text(size)]
    row("weights on disk", info.dense_bytes, size, sizes)
    latency_ms = info.pruned.subnet.cost.get("latency_ms")
    if latency_ms is not None and info.dense_latency_ms is not None:
        times = [f"{info.dense_latency_ms:.4g} ms", f"{latency_ms:.4g} ms"]
        row("latency", info.dense_latency_ms, latency_ms, times)
    return table


def left_alone_table(unprunable: Mapping[str, str]) -> PlainTable:
    """Return the reasons why channels were left alone, with the places."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in unprunable.items():
        by_reason.setdefault(reason, []).append(name)
    table = PlainTable(title="Left alone")
    table.add_column("why", overflow="fold")
    table.add_column("number", justify="right")
    table.add_column("where", overflow="fold")
    for reason, names in by_reason.items():
        more = ", ..." if len(names) > _SHOWN else ""
        table.add_row(reason, str(len(names)), ", ".join(names[:_SHOWN]) + more)
    return table


def _files(info: PruneInfo) -> list[str]:
    trained = (
        f"a step of training was not tried: {info.not_trained}"
        if info.not_trained
        else "a step of training runs"
    )
    lines = [
        f"largest difference to the model with the dropped channels silenced: "
        f"{info.pruned.max_difference:.1e}",
        f"difference after reading the files back: {info.reload_difference:.0e}; "
        f"{trained}",
        f"subnet: {info.subnet}",
        f"weights: {info.checkpoint}",
        f"config: {info.config}",
    ]
    if info.pruned.cost.uncounted:
        names = ", ".join(sorted(info.pruned.cost.uncounted))
        lines.insert(0, f"not counted in the MACs: {names}")
    return [*lines, *onnx_lines(info.onnx, info.onnx_refusal)]


def _next(info: PruneInfo) -> list[str]:
    trained = f"work_dirs/{info.config.stem}/<checkpoint>.pth"
    return [
        "Next:",
        f"  {tool_command('test', info.config, info.checkpoint)}",
        f"  {tool_command('train', info.config)}",
        f"  {tool_command('export', info.config, trained)}",
    ]


def count_text(number: float) -> str:
    """Return a number with three digits and a unit.

    Example:
        >>> count_text(4_089_184_256), count_text(25_557_032), count_text(512)
        ('4.09 G', '25.6 M', '512')
    """
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= factor:
            return f"{number / factor:.3g}{unit}"
    return f"{number:g}"
