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


def follow_quantizer_(average: Any, quantizer: Any) -> None:
    """Give the quantizer of an averaged Algorithm the places and shapes of its model's.

    Args:
        average: The averaged copy.
        quantizer: Of the model, which has seen data.
    """
    own = average.module.quantizer
    gone = {
        part: getattr(own, part).keys() - getattr(quantizer, part).keys()
        for part in ("weights", "activations")
    }
    changed = any(gone.values())
    if changed:
        own.drop_(gone)
        average.avg_parameters = dict(average.module.named_parameters())
    found = dict((*quantizer.named_parameters(), *quantizer.named_buffers()))
    for name, tensor in (*own.named_parameters(), *own.named_buffers()):
        source = found[name]
        whole = average.update_buffers and not source.is_floating_point()
        if tensor.shape != source.shape or whole:
            tensor.data = source.detach().to(tensor.device, copy=True)
            changed = True
    if changed and average.update_buffers:
        average.avg_parameters = average.module.state_dict()
