"""A latency table in a file: measured once, read then on, and how far off."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.cost import LatencyTable, device_name
from ..core.graph import ChannelGraph, Checked, checked_slimming
from .latency_budget import latency_on
from .latency_calls import layer_calls
from .latency_layers import fingerprint, measure_table
from .steps import Steps

_SUBNETS = 5
# Of the units of each group; with the first one unit is left.
_SHARES = (0.0, 0.25, 0.5, 0.75)


def table_in(
    path: Path,
    graph: ChannelGraph,
    inputs: Any,
    device: str | torch.device,
    steps: Steps,
) -> LatencyTable:
    """Read a latency table, or measure, check and write it if the file is not there.

    Args:
        path: The JSON file.
        graph: Of the model.
        inputs: What it is called with.
        device: Where latencies are measured.
        steps: Shows how far it is, and the errors of a table that was measured.

    Raises:
        LatencyTableError: If the file is damaged, or of another device or model.
    """
    if path.is_file():
        table = LatencyTable.load(path)
        table.check_fits(device_name(device), fingerprint(graph, inputs))
        return table
    with steps.step("Timing narrower models"):
        # Groups that break the model are frozen here, before layers are looked at.
        models = [_with_share(graph, inputs, share) for share in _SHARES]
        dense_ms = latency_on(device, graph.model, inputs)
        measured = [(_counts(m), latency_on(device, m.model, inputs)) for m in models]
        calls = layer_calls(graph, inputs)
    with steps.step("Timing layers", len(calls)) as advance:
        table = measure_table(
            graph, inputs, dense_ms, device, calls=calls, advance=advance
        ).calibrated(measured)
        table.save(path)
    with steps.step("Checking the latency table"):
        pairs = check_table(table, graph, inputs, device)
    steps.say(error_text(pairs))
    return table


def check_table(
    table: LatencyTable,
    graph: ChannelGraph,
    inputs: Any,
    device: str | torch.device = "cpu",
    *,
    num_subnets: int = _SUBNETS,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """Return estimated and measured milliseconds of random models.

    Args:
        table: Of this model and device.
        graph: Of the model.
        inputs: What it is called with.
        device: Where the models are timed.
        num_subnets: How many models; each group keeps any number of units.
        seed: Of these numbers.
    """
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(num_subnets):
        kept = {g.name: int(rng.integers(1, g.size + 1)) for g in graph.groups}
        small = _with_counts(graph, inputs, kept)
        pairs.append((table(_counts(small)), latency_on(device, small.model, inputs)))
    return pairs


def error_text(pairs: Sequence[tuple[float, float]]) -> str:
    """Say how far estimates are from measurements.

    Example:
        >>> error_text([(9.0, 10.0), (6.0, 5.0)])
        'latency of 2 random models: estimates are off by 15% on average, 20% at most'
    """
    errors = [abs(guess - real) / real for guess, real in pairs]
    return (
        f"latency of {len(pairs)} random models: estimates are off by "
        f"{statistics.fmean(errors):.0%} on average, {max(errors):.0%} at most"
    )


def _with_share(graph: ChannelGraph, inputs: Any, share: float) -> Checked:
    counts = {g.name: max(1, round(share * g.size)) for g in graph.groups}
    return _with_counts(graph, inputs, counts)


def _with_counts(graph: ChannelGraph, inputs: Any, kept: Mapping[str, int]) -> Checked:
    """Return a model with the first units of each group."""

    def choose(current: ChannelGraph) -> dict[str, range]:
        return {group.name: range(kept[group.name]) for group in current.groups}

    return checked_slimming(graph, choose, inputs)


def _counts(found: Checked) -> dict[str, int]:
    return {name: len(indices) for name, indices in found.kept.items()}
