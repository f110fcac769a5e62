"""What tools/search.py prints: the best Subnets, how they were found, the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group
from rich.text import Text

from ..core.plain_table import PlainTable
from ..core.space import Subnet
from .commands import tool_command


@dataclass(frozen=True)
class SearchInfo:
    """What was found, and the files written.

    Args:
        best: The best Subnets, or those that no other dominates, best first.
        objectives: What was looked for: names, and ``max`` or ``min``.
        num_evaluations: With those of earlier runs of a search that was resumed.
        num_subnets: Different Subnets among them.
        num_failed: Evaluations that ended in an error.
        evaluation_s: Seconds that all of them took, added up over ranks.
        seconds: What this run took.
        latency_error: Median relative error of estimated latencies, if they were asked
            for.
        subnet: File of the best Subnet.
        subnets: Files of all of ``best``.
        table: ``search.csv``, a row for each evaluation.
        retrain: Config that trains the best Subnet.
        report: Page and pictures by ``page``, ``pareto``, ``score`` and ``choices``.
    """

    best: tuple[Subnet, ...]
    objectives: tuple[tuple[str, str], ...]
    num_evaluations: int
    num_subnets: int
    num_failed: int
    evaluation_s: float
    seconds: float
    latency_error: float | None
    subnet: Path
    subnets: tuple[Path, ...]
    table: Path
    retrain: Path
    report: Mapping[str, Path]


def summary(info: SearchInfo) -> Group:
    """Return everything that is worth knowing of a search, for a rich console."""
    lines = [*_done(info), *_files(info), "", "Next:"]
    lines.append(f"  {tool_command('train', info.retrain)}")
    # Whole lines, so that commands can be copied.
    texts = [Text(line, no_wrap=True, overflow="ignore") for line in lines]
    return Group(best_table(info), *texts)


def best_table(info: SearchInfo) -> PlainTable:
    """Return a row for each of the best Subnets: objectives, costs, file."""
    names = [name for name, _ in info.objectives]
    names = list(dict.fromkeys([*names, *info.best[0].cost]))
    table = PlainTable(title="Best Subnets")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("file", overflow="fold")
    for subnet, path in zip(info.best, info.subnets, strict=True):
        known = {**subnet.cost, **subnet.score}
        table.add_row(*(_shown(known[name]) for name in names), str(path))
    return table


def _done(info: SearchInfo) -> list[str]:
    each = info.evaluation_s / max(info.num_evaluations, 1)
    lines = [
        f"{info.num_evaluations} evaluations of {info.num_subnets} different Subnets, "
        f"{info.num_failed} failed; {info.seconds:.1f} s, {each:.3g} s each"
    ]
    if info.latency_error is not None:
        lines.append(
            "latency is estimated; median relative error on measured Subnets: "
            f"{info.latency_error:.1%}"
        )
    return lines


def _files(info: SearchInfo) -> list[str]:
    return [
        f"best: {info.subnet}",
        f"evaluations: {info.table}",
        f"config to train the best: {info.retrain}",
        *(f"report: {path}" for path in info.report.values()),
    ]


def _shown(number: float) -> str:
    """Return a count with separators, another number with five digits.

    Example:
        >>> _shown(1445632), _shown(91.25), _shown(0.123456)
        ('1,445,632', '91.25', '0.12346')
    """
    return f"{number:,}" if isinstance(number, int) else f"{number:.5g}"
