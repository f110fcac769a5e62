"""Metrics of one rank alone: other ranks evaluate other candidates."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.evaluator import Evaluator

from ..forward import map_tensors


def local_metrics(evaluator: Evaluator, num_samples: int) -> dict[str, Any]:
    """Return what ``evaluator.evaluate`` returns, without waiting for other ranks.

    Args:
        evaluator: Has processed the batches; its results are emptied.
        num_samples: Results beyond are padding.

    Raises:
        ValueError: If two metrics have one name.
    """
    found: dict[str, Any] = {}
    for metric in evaluator.metrics:
        results = map_tensors(metric.results[:num_samples], torch.Tensor.cpu)
        metric.results.clear()
        for name, value in metric.compute_metrics(results).items():
            full = f"{metric.prefix}/{name}" if metric.prefix else name
            if full in found:
                raise ValueError(
                    f"Two metrics are named '{full}'. Give one of them a prefix."
                )
            found[full] = value
    return found
