# The functions that the Python door and tools/prune.py share.
"""Prune a model, and rebuild a pruned one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import BaseModel
from torch import nn

from ..core.cost import Budget
from ..core.forward import device_and_dtype, eager_module, examples_of
from ..core.graph import channel_graph
from ..core.graph.training import train_mode_trial
from ..core.space import Subnet
from ..models.architectures import slimmed
from ..models.pruners import Importance, Pruned, prune_model
from .latency_budget import prune_to_budget
from .training_step import training_trial


def prune(
    model: nn.Module,
    inputs: Any,
    budget: Budget | Mapping[str, Any],
    importance: str | Mapping[str, Any] | Importance = "L1Importance",
    *,
    ranking: str = "global",
    divisor: int = 1,
    min_keep: int | float = 1,
    ignore: Sequence[str] = (),
    tie: Sequence[Sequence[str]] = (),
    whole: Sequence[str] = (),
) -> Pruned:
    """Return a smaller model within a budget, checked against the original.

    The pruned model is tried in training as well where the original can be: a step with
    the loss of a model of mmengine whose inputs hold labels, a forward pass in train
    mode of any other.

    Args:
        model: Any module; it is left as it was.
        inputs: What it is called with: a tensor, a tuple of arguments or a dict of
            keyword arguments; see ``mmrazor.example_inputs``. A list holds several of
            these, which together run all parts that are to shrink (branches that depend
            on the size of an image); the budget and the cost are about the first.
        budget: ``dict(macs=0.5)``: a fraction of the dense model, or an absolute number
            (``macs=2.0e9``, ``params=...``, ``latency_ms=...``), or several of them.
            Latency is measured, on the model's device.
        importance: Ranks the channels: a name, a config or an object. Those that read
            gradients (``TaylorImportance``) want ``loss.backward()`` run before.
        ranking: ``global``, one threshold for all groups, or ``local``, the same share
            of each.
        divisor: Kept channels are a multiple of this in every group.
        min_keep: Channels that each group keeps at least, or a fraction of them.
        ignore: Modules whose parameters keep their size.
        tie: Lists of modules whose outputs must keep the same channels.
        whole: Modules to treat as one.

    Returns:
        The new model with its Subnet, cost, and the difference found by running it.

    Raises:
        TraceError: If the model does not run on the inputs.
        NothingPrunableError: If no group can be pruned; the text says why.
        BudgetError: If the budget cannot be reached.
        ValueError: If an argument is wrong.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> pruned = prune(net, torch.rand(1, 4), budget=dict(macs=0.5))
        >>> pruned.model[0].out_features, pruned.cost.macs / pruned.dense_cost.macs
        (4, 0.5)
    """
    model, budget = eager_module(model), Budget.parse(budget)
    parts: dict[str, Any] = dict(ignore=ignore, tie=tie, whole=whole)
    first = examples_of(inputs)[0]
    trial: Any
    if isinstance(model, BaseModel):
        trial = training_trial(model, first)[0]
    else:
        trial = train_mode_trial(model, inputs)
    options: dict[str, Any] = dict(
        ranking=ranking, divisor=divisor, min_keep=min_keep, trial=trial
    )
    if budget.latency_ms is None:
        return prune_model(model, inputs, budget, importance, **parts, **options)
    graph = channel_graph(model, inputs, **parts)
    device, _ = device_and_dtype(model)
    return prune_to_budget(graph, inputs, budget, importance, device=device, **options)


def load_subnet(
    model: nn.Module,
    subnet: Subnet | str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
) -> nn.Module:
    """Rebuild a pruned model; nothing is traced and nothing unpickled.

    Args:
        model: The original architecture, with any weights.
        subnet: The Subnet or its file.
        weights: Checkpoint of the pruned model.

    Returns:
        A new, smaller module.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the Subnet belongs to another model or its file is faulty, or the
            weights do not fit.
    """
    return slimmed(model, subnet, weights)
