"""Measure how long one forward pass takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..forward import call_model, device_and_dtype, eager_module, evaluating


@dataclass(frozen=True)
class LatencyStats:
    """Wall-clock time of single forward passes, in milliseconds.

    Args:
        median_ms: The middle one.
        mean_ms: Their mean.
        min_ms: The fastest.
        max_ms: The slowest.
        std_ms: Standard deviation; 0 for a single pass.
        repeats: How many passes were timed.
    """

    median_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float
    std_ms: float
    repeats: int

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> LatencyStats:
        """Return what some passes took, at least one.

        Example:
            >>> LatencyStats.of([1.0, 3.0, 2.0]).median_ms
            2.0
        """
        return cls(
            median_ms=statistics.median(times_ms),
            mean_ms=statistics.fmean(times_ms),
            min_ms=min(times_ms),
            max_ms=max(times_ms),
            std_ms=statistics.stdev(times_ms) if len(times_ms) > 1 else 0.0,
            repeats=len(times_ms),
        )


def measure_latency(
    model: nn.Module, inputs: Any, warmup: int = 5, repeats: int = 20
) -> LatencyStats:
    """Time forward passes in eval mode, waiting for the device after each.

    Args:
        model: Any module, on the device to measure; it is left as it was.
        inputs: A tensor, a tuple of arguments or a dict of keyword arguments.
        warmup: Passes before timing, at least 0.
        repeats: Passes timed, at least 1.

    Raises:
        ValueError: If ``warmup`` or ``repeats`` is too small.

    Example:
        >>> measure_latency(nn.Linear(2, 2), torch.zeros(1, 2), repeats=3).repeats
        3
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(
            f"warmup={warmup} must be at least 0 and repeats={repeats} at least 1."
        )
    model = eager_module(model)
    device, _ = device_and_dtype(model)
    times_ms = []
    with evaluating(model):
        for index in range(warmup + repeats):
            _synchronize(device)
            start = time.perf_counter()
            call_model(model, inputs)
            _synchronize(device)
            if index >= warmup:
                times_ms.append((time.perf_counter() - start) * 1e3)
    return LatencyStats.of(times_ms)


def device_name(device: str | torch.device) -> str:
    """Return what tells one machine's device from another's; a CPU with its threads."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return str(device.type)
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return f"{names[0] if names else 'cpu'}, {torch.get_num_threads()} threads"


def _synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
