"""Compare a pruned model with the original in which the same channels are silenced."""

from __future__ import annotations


from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..forward import call_model
from .channel_graph import ChannelGraph
from .silence import silenced_output
from .trace import running_plain, tensors_in


def verify(
    graph: ChannelGraph,
    kept: Mapping[str, Sequence[int]],
    slimmed: nn.Module,
    inputs: Any,
) -> float:
    """Return how far the slimmed model is from the silenced original.

    Args:
        graph: Channel graph of the original model.
        kept: Kept channels by group.
        slimmed: The model made from the cuts.
        inputs: What both are called with.

    Returns:
        The largest difference of any output value, relative to the largest value of
        that output tensor; infinite if outputs have other shapes.

    Raises:
        Exception: Whatever the slimmed model raises if it does not run.
    """
    devices = [t.device for t in tensors_in(inputs) if t.is_cuda]
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        expected = silenced_output(graph, kept, inputs)
        torch.manual_seed(0)
        with running_plain(slimmed):
            actual = call_model(slimmed, inputs)
    return relative_difference(expected, actual)


def relative_difference(expected: Any, actual: Any) -> float:
    """Return the largest relative difference of the floats in two nested outputs.

    Example:
        >>> relative_difference([torch.tensor([2.0])], [torch.tensor([1.0])])
        0.5
    """
    first, second = list(tensors_in(expected)), list(tensors_in(actual))
    if len(first) != len(second):
        return float("inf")
    worst = 0.0
    for a, b in zip(first, second, strict=True):
        if a.shape != b.shape:
            return float("inf")
        if a.is_floating_point() and a.numel():
            worst = max(worst, _difference(a, b))
    return worst


def _difference(a: Tensor, b: Tensor) -> float:
    if torch.equal(a, b):
        return 0.0
    same = (a == b) | (a.isnan() & b.isnan())
    gap = (a.double() - b.double()).abs().masked_fill(same, 0.0)
    scale = a.double().abs().masked_fill(~a.isfinite(), 0.0).max().clamp(min=1e-12)
    value = float(gap.max() / scale)
    return float("inf") if value != value else value


