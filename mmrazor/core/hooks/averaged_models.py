"""Averaged copies of a model that mmengine's hooks keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import EMAHook


def averages_of(runner: Any) -> Iterator[Any]:
    """Yield the averaged copies of a run's model."""
    for hook in runner.hooks:
        if isinstance(hook, EMAHook) and hasattr(hook, "ema_model"):
            yield hook.ema_model


def shrink_average_(average: Any, cuts: Any) -> None:
    """Cut an averaged copy of an Algorithm as the Algorithm was cut."""
    average.module.shrink_(cuts)
    if average.update_buffers:
        # It holds views of the old tensors; parameters it names are still the same.
        average.avg_parameters = average.module.state_dict()
