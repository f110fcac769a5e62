"""A latency table in a file: measured once, read then on, and how far off."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.cost import LatencyTable, device_name
from ..core.graph import ChannelGraph, slim
from .latency_budget import latency_on
from .latency_calls import layer_calls
from .latency_layers import fingerprint, measure_table
from .steps import Steps

_SUBNETS = 5


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
    calls = layer_calls(graph, inputs)
    with steps.step("Timing layers", len(calls)) as advance:
        dense_ms = latency_on(device, graph.model, inputs)
        table = measure_table(
            graph, inputs, dense_ms, device, calls=calls, advance=advance
        )
        table.save(path)
    with steps.step("Checking the latency table"):
        pairs = check_table(table, graph, inputs, device)
    steps.console.print(error_text(pairs))
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
        indices = {name: range(count) for name, count in kept.items()}
        small = slim(graph.model, graph.cuts(indices))
        pairs.append((table(kept), latency_on(device, small, inputs)))
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
