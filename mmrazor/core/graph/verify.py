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

from ..extension_ops import extensions_in_float32
from ..forward import call_model, map_tensors
from .channel_graph import ChannelGraph
from .choices import noting_choices, picks, repeating
from .cuts import Cuts
from .difference import (
    compared,
    finite_share,
    is_zero,
    relative_difference,
    sampled,
)
from .silence import silenced_output
from .slim import slim
from .trace import OpTrace, recorded_run, running_plain, tensors_in

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
        that output tensor; infinite if outputs have other shapes. What the slimmed
        model decides by values that are equal but for rounding is decided alike.

    Raises:
        Exception: Whatever the slimmed model raises if it does not run.
    """
    with noting_choices() as choices:
        actual = _run(slimmed, inputs)
    with repeating(choices):
        expected = _silenced(graph, kept, inputs)
    return relative_difference(expected, actual)


def verify_cuts(
    graph: ChannelGraph,
    kept: Mapping[str, Sequence[int]],
    cuts: Cuts,
    slimmed: nn.Module,
    inputs: Any,
    recorded: OpTrace | None = None,
) -> float:
    """Return what :func:`verify` does, and make sure that it means something.

    If the output hardly depends on the dropped channels with these weights, random ones
    are tried too, and what each module returns is compared as well. If float32 is too
    coarse, the comparison is done in float64. A model that picks some of many (boxes by
    their scores) is compared with random weights at once: what it returns says little.

    Args:
        graph: Channel graph of the original model.
        kept: Kept channels by group.
        cuts: What the slimmed model was made from.
        slimmed: The slimmed model.
        inputs: What both are called with.
        recorded: The run of the slimmed model on them, if there was one already, from
            :func:`recorded_seeded`.

    Raises:
        UnverifiableError: If no finite number comes out.
    """
    # first: it is the cheaper one, and may not run
    actual = _run(slimmed, inputs) if recorded is None else recorded.output
    if recorded is not None and picks(recorded):
        # what is picked, of values that are all alike, says little
        try:
            inside = _with_random_weights(graph, kept, cuts, inputs)
        except UnverifiableError:
            inside = float("inf")
        if inside <= TOLERANCE:
            return inside
    if inputs is graph.recorded.inputs:
        dense = graph.recorded.output
    else:
        dense = _run(graph.model, inputs)
    mute = _is_empty(dense) and _is_empty(actual)  # a detector that finds nothing
    if mute or (is_zero(dense) and is_zero(actual)):
        expected = dense  # zeros whatever goes in, such as from a new head
    else:
        expected = _silenced(graph, kept, inputs)
    worst = relative_difference(expected, actual)
    if worst > TOLERANCE:
        worst = min(worst, verify(graph, kept, slimmed, inputs))
    if worst > TOLERANCE:
        return min(worst, _in_double(graph, kept, cuts, inputs, worst, verify))
    share = finite_share(expected)
    if share and relative_difference(dense, expected) >= _INSENSITIVE:
        return worst
    inside = _with_random_weights(graph, kept, cuts, inputs)
    if inside > TOLERANCE:
        with _swapped(graph.model, _random_values):
            inside = min(
                inside,
                _in_double(graph, kept, cuts, inputs, inside, _inner_difference),
            )
    return max(worst, inside)


class UnverifiableError(ValueError):
    """A model that returns no number which could be compared."""


def _with_random_weights(
    graph: ChannelGraph,
    kept: Mapping[str, Sequence[int]],
    cuts: Cuts,
    inputs: Any,
) -> float:
    with _swapped(graph.model, _random_values):
        again = slim(graph.model, cuts)
        return _inner_difference(graph, kept, again, inputs)


def _inner_difference(
    graph: ChannelGraph,
    kept: Mapping[str, Sequence[int]],
    slimmed: nn.Module,
    inputs: Any,
) -> float:
    """Return what :func:`verify` does, with what modules return compared as well."""
    with sampled(slimmed) as samples, noting_choices() as choices:
        actual = _run(slimmed, inputs)
    with sampled(graph.model) as reference, repeating(choices):
        expected = _silenced(graph, kept, inputs)
    inside = compared(reference, samples)
    if not inside.numbers and not finite_share(expected):
        raise UnverifiableError(
            f"{type(graph.model).__name__} gives no finite number on the example "
            "inputs (nan, or nothing), neither with its own weights nor with random "
            "ones, so that pruned channels cannot be checked. Give other inputs."
        )
    return max(relative_difference(expected, actual), inside.worst)


def _in_double(
    graph: ChannelGraph,
    kept: Mapping[str, Sequence[int]],
    cuts: Cuts,
    inputs: Any,
    default: float,
    compare: Callable[..., float],
) -> float:
    try:
        doubled = _swapped(graph.model, lambda _, tensor, __: tensor.double())
        with doubled, extensions_in_float32():
            again = slim(graph.model, cuts)
            return compare(graph, kept, again, map_tensors(inputs, _double))
    except (RuntimeError, TypeError, ValueError):  # an operation without float64
        return default


def _is_empty(output: Any) -> bool:
    floats = [t for t in tensors_in(output) if t.is_floating_point()]
    return bool(floats) and not any(t.numel() for t in floats)


def _silenced(
    graph: ChannelGraph, kept: Mapping[str, Sequence[int]], inputs: Any
) -> Any:
    with _seeded(inputs):
        return silenced_output(graph, kept, inputs)


def _run(model: nn.Module, inputs: Any, seed: int = 0) -> Any:
    with _seeded(inputs, seed), running_plain(model):
        return call_model(model, inputs)


def recorded_seeded(
    model: nn.Module, inputs: Any, stack: list[str] | None = None
) -> OpTrace:
    """Record a run with the seed that all runs to compare have.

    Args:
        model: Any module.
        inputs: What it is called with.
        stack: Filled with the names of the modules that run, innermost last.
    """
    with _seeded(inputs), running_plain(model):
        return recorded_run(model, inputs, stack)


@contextmanager
def _seeded(inputs: Any, seed: int = 0) -> Iterator[None]:
    devices = [t.device for t in tensors_in(inputs) if t.is_cuda]
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def unsteadiness(model: nn.Module, inputs: Any) -> float:
    """Return how far two runs of one model in eval mode are apart."""
    first = _run(model, inputs, seed=0)
    return relative_difference(first, _run(model, inputs, seed=1))


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


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
