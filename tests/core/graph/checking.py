"""Prune a network at random and check it against the silenced original."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmrazor.core.cost import count_cost
from mmrazor.core.forward import call_model, evaluating
from mmrazor.core.graph import (
    ChannelGraph,
    Cuts,
    channel_graph,
    relative_difference,
    slim,
    verify,
)
from mmrazor.models.pruners import cost_table

Kept = dict[str, list[int]]


def with_random_values(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and statistic a value with which it matters."""
    generator = torch.Generator().manual_seed(seed)
    named = [*model.named_parameters(), *model.named_buffers()]
    for name, tensor in named:
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            value = 0.5 + noise.abs()
        elif tensor.dim() < 2 and name.endswith("weight"):
            value = 1.0 + 0.3 * noise
        elif tensor.dim() < 2:
            value = 0.3 * noise + (0.5 if "scale" in name or "gamma" in name else 0)
        else:
            value = noise * max(tensor[0].numel(), 1) ** -0.5
        tensor.data.copy_(value)
    return model.eval()


def random_kept(graph: ChannelGraph, seed: int) -> Kept:
    """Choose between one and all but one channels of each group."""
    rng = random.Random(seed)
    kept = {}
    for group in graph.groups:
        count = rng.randint(1, group.size - 1)
        kept[group.name] = sorted(rng.sample(range(group.size), count))
    return kept


def run(model: nn.Module, inputs: Any) -> Any:
    with evaluating(model):
        return call_model(model, inputs)


def check(
    model: nn.Module, inputs: Any, kept: Mapping[str, list[int]] | int
) -> ChannelGraph:
    """Prune a model; check what it computes, what it costs and that it loads.

    Args:
        model: In float32.
        inputs: What it is called with.
        kept: Kept channels by group, or a seed to choose them.
    """
    graph = channel_graph(model, inputs)
    assert graph.groups, graph.unprunable
    chosen = random_kept(graph, kept) if isinstance(kept, int) else dict(kept)
    cuts = graph.cuts(chosen)
    small = slim(model, cuts)
    # what it computes
    assert verify(graph, chosen, small, inputs) <= 1e-4
    pruned = run(small, inputs)
    changed = relative_difference(run(model, inputs), pruned)
    assert changed > 1e-4, "the output does not depend on what was dropped"
    # what it costs
    cost, expected = (
        count_cost(small, inputs),
        cost_table(graph).cost(
            {name: len(indices) for name, indices in chosen.items()}
        ),
    )
    assert (cost.macs, cost.params) == (expected.macs, expected.params)
    # that it loads
    data = json.loads(json.dumps(cuts.to_dict()))
    again = slim(copy.deepcopy(model), Cuts.from_dict(data))
    for tensor in [*again.parameters(), *again.buffers()]:
        if tensor.is_floating_point():
            tensor.data.zero_()
    again.load_state_dict(small.state_dict())
    assert relative_difference(pruned, run(again, inputs)) == 0
    check_double(model, inputs, chosen)
    return graph


def check_double(model: nn.Module, inputs: Any, kept: Kept) -> None:
    """Check the same in float64, where only real differences are left."""
    double = copy.deepcopy(model).double()
    wide = to_double(inputs)
    graph = channel_graph(double, wide)
    assert verify(graph, kept, slim(double, graph.cuts(kept)), wide) <= 1e-9


def to_double(inputs: Any) -> Any:
    if isinstance(inputs, Tensor):
        return inputs.double() if inputs.is_floating_point() else inputs
    if isinstance(inputs, Mapping):
        return {name: to_double(value) for name, value in inputs.items()}
    return tuple(to_double(value) for value in inputs)
