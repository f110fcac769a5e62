# A pruned model is right if it computes what the original computes with the same
# channels silenced. Weights that make the output constant (a head initialised with
# zeros) would let any mistake pass; then the comparison is repeated with random
# weights.
"""Compare a pruned model with the original in which the same channels are silenced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..forward import call_model
from .channel_graph import ChannelGraph
from .cuts import Cuts
from .silence import silenced_output
from .slim import slim
from .trace import running_plain, tensors_in

TOLERANCE = 1e-4
_INSENSITIVE = 1e-2


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
    expected, actual = _outputs(graph, kept, slimmed, inputs)
    return relative_difference(expected, actual)


def verify_cuts(
    graph: ChannelGraph,
    kept: Mapping[str, Sequence[int]],
    cuts: Cuts,
    slimmed: nn.Module,
    inputs: Any,
) -> float:
    """Return what :func:`verify` does, and make sure that it means something.

    If the output hardly depends on the dropped channels with these weights, random ones
    are tried too. If float32 is too coarse, the comparison is done in float64.

    Args:
        graph: Channel graph of the original model.
        kept: Kept channels by group.
        cuts: What the slimmed model was made from.
        slimmed: The slimmed model.
        inputs: What both are called with.
    """
    actual = _run(slimmed, inputs)  # first: it is the cheaper one, and may not run
    expected = _silenced(graph, kept, inputs)
    worst = relative_difference(expected, actual)
    if worst > TOLERANCE:
        worst = min(worst, _in_double(graph, kept, cuts, inputs, worst))
    elif relative_difference(graph.output, expected) < _INSENSITIVE:
        with _swapped(graph.model, _random_values):
            again = slim(graph.model, cuts)
            worst = max(worst, verify(graph, kept, again, inputs))
        if worst > TOLERANCE:
            with _swapped(graph.model, _random_values):
                worst = min(worst, _in_double(graph, kept, cuts, inputs, worst))
    return worst


def _in_double(
    graph: ChannelGraph,
    kept: Mapping[str, Sequence[int]],
    cuts: Cuts,
    inputs: Any,
    default: float,
) -> float:
    try:
        with _swapped(graph.model, lambda _, tensor, __: tensor.double()):
            again = slim(graph.model, cuts)
            return verify(graph, kept, again, _double(inputs))
    except (RuntimeError, TypeError, ValueError):  # an operation without float64
        return default


def _outputs(
    graph: ChannelGraph,
    kept: Mapping[str, Sequence[int]],
    slimmed: nn.Module,
    inputs: Any,
) -> tuple[Any, Any]:
    return _silenced(graph, kept, inputs), _run(slimmed, inputs)


def _silenced(
    graph: ChannelGraph, kept: Mapping[str, Sequence[int]], inputs: Any
) -> Any:
    with _seeded(inputs):
        return silenced_output(graph, kept, inputs)


def _run(model: nn.Module, inputs: Any) -> Any:
    with _seeded(inputs), running_plain(model):
        return call_model(model, inputs)


@contextmanager
def _seeded(inputs: Any) -> Iterator[None]:
    devices = [t.device for t in tensors_in(inputs) if t.is_cuda]
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        yield


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


def _double(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {key: _double(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_double(item) for item in value)
    return value


@contextmanager
def _swapped(
    model: nn.Module, change: Callable[[str, Tensor, torch.Generator], Tensor]
) -> Iterator[None]:
    """Give floating-point parameters and buffers other values for a while."""
    generator = torch.Generator().manual_seed(0)
    named = [*model.named_parameters(), *model.named_buffers()]
    old = [(t, t.data) for _, t in named if t.is_floating_point()]
    try:
        for name, tensor in named:
            if tensor.is_floating_point():
                tensor.data = change(name, tensor.data, generator)
        yield
    finally:
        for tensor, data in old:
            tensor.data = data


def _random_values(name: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Return values with which every layer matters and none explodes."""
    leaf = name.rpartition(".")[2]
    noise = torch.randn(tensor.shape, generator=generator).to(tensor)
    if leaf in ("running_mean", "bias") or "bias" in leaf:
        return 0.1 * noise
    if tensor.dim() < 2 or leaf == "running_var":
        return 0.5 + noise.abs()
    return noise * (tensor[0].numel() ** -0.5)
