# The model is traced anew at every pruning: that finds its channels where they are now,
# and each pruning is checked by running it, as a pruning before training is.
"""One pruning of several: what can go, and the check of what goes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import nn

from ...core.copying import copied
from ...core.forward import as_in_training, call_model
from ...core.graph import ChannelGraph, channel_graph, checked_slimming
from ...core.graph.belongs import misfits
from ...core.graph.cuts import Cuts
from ...core.graph.trace import tensors_in
from ...core.graph.training import train_mode_trial, training_inputs
from .pruner import NothingPrunableError, nothing_prunable
from .pruning_state import PruningState, PruningStateError

Kept = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Step:
    """A pruning that is decided but not done.

    Args:
        state: The pruner's state after it.
        cuts: From the model as it is.
        slimmed: The smaller copy that was checked.
        inputs: What it was checked with.
    """

    state: PruningState
    cuts: Cuts
    slimmed: nn.Module
    inputs: Any


def traced_groups(
    model: nn.Module,
    inputs: Any,
    state: PruningState | None,
    hints: Mapping[str, Any],
    gradient_roles: Sequence[str] = (),
) -> tuple[ChannelGraph, PruningState]:
    """Return the channels that can go, and the state so far, begun if there is none.

    Groups that broke the model before, that are not what is left of a group of the
    original, or that have no gradients where those are read, are frozen in the graph.

    Args:
        model: The Architecture as it is; any mode, it is left as it was.
        inputs: What it is called with.
        state: What was done so far.
        hints: ``ignore``, ``tie`` and ``whole``, see
            :func:`~mmrazor.core.graph.channel_graph`.
        gradient_roles: Roles of slots whose gradients are read, if they are.

    Raises:
        TraceError: If the model does not run on the inputs.
        NothingPrunableError: If no group is left.
    """
    graph = channel_graph(model, inputs, **hints)
    if state is None:
        state = PruningState.of(graph)
    for name, reason in state.frozen.items():
        graph.freeze([name], reason)
    counts = state.counts()
    strange = [g.name for g in graph.groups if counts.get(g.name) != g.size]
    graph.freeze(strange, "is no group of the model that pruning began with")
    for group in list(graph.groups):
        fixed = [
            slot.name
            for slot in group.slots
            if slot.role in gradient_roles and not group.tensor(slot).requires_grad
        ]
        if fixed:
            reason = f"'{fixed[0]}' is not trained, so no gradient ranks its channels"
            graph.freeze([group.name], reason)
    if not graph.groups:
        raise NothingPrunableError(nothing_prunable(graph))
    return graph, state


def checked_step(
    graph: ChannelGraph,
    state: PruningState,
    choose: Callable[[ChannelGraph], Kept],
    inputs: Any,
    time: int | None = None,
    finished: bool = False,
) -> Step:
    """Slim a copy of the model to the channels chosen, and run it.

    Args:
        graph: Of the model as it is; groups that break it are frozen.
        state: What was done so far.
        choose: Returns kept channels for the groups that are left.
        inputs: What the model is called with.
        time: Step or epoch, for the records.
        finished: Whether the target is reached then.

    Where the model's loss can be computed on the inputs, that of the copy has to be
    possible too.

    Raises:
        NothingPrunableError: If every group breaks the model.
        ValueError: Whatever ``choose`` raises.
    """
    before = {group.name for group in graph.groups}

    def choose_or_stop(current: ChannelGraph) -> Kept:
        if not current.groups:
            raise NothingPrunableError(nothing_prunable(current))
        return choose(current)

    checked = checked_slimming(graph, choose_or_stop, inputs, loss_trial(graph, inputs))
    broken = before - {group.name for group in graph.groups}
    frozen = {name: graph.unprunable[name] for name in sorted(broken)}
    after = state.pruned(checked.kept, checked.cuts, time, finished)
    after = replace(after, frozen={**state.frozen, **frozen})
    return Step(after, checked.cuts, checked.model, inputs)


def cuts_to_do(
    model: nn.Module, now: PruningState | None, wanted: PruningState
) -> Cuts:
    """Return the cuts that bring a model to the state of a checkpoint.

    Args:
        model: The model as it is.
        now: Its state, if pruning has begun.
        wanted: The checkpoint's.

    Raises:
        PruningStateError: If the model was cut otherwise, or is another one.
    """
    before = Cuts() if now is None else now.cuts
    if before == wanted.cuts:
        return Cuts()
    if before != Cuts():
        raise PruningStateError(
            "The model has lost other channels than the checkpoint's. Load it into a "
            "model that is built anew from the config."
        )
    faults = misfits(model, wanted.cuts, wanted.shapes)
    if faults:
        raise PruningStateError(
            f"The checkpoint's pruning is that of another model than this "
            f"{type(model).__name__}: {'; '.join(faults)}. Pass the config that it was "
            "trained with."
        )
    return wanted.cuts


def loss_trial(
    graph: ChannelGraph, inputs: Any
) -> Callable[[nn.Module], object] | None:
    """Return a function that computes the losses of a model like the graph's.

    A plain torch model has none; it is run in train mode.

    Args:
        graph: Knows the model as it is; if its own losses cannot be computed on these
            inputs, there is nothing to compare with, and None is returned.
        inputs: What the model is called with.
    """
    if not isinstance(graph.model, BaseModel):
        return train_mode_trial(graph.model, inputs)
    given = training_inputs(graph.model, inputs)
    if given is None:
        return None
    devices = {t.device for t in tensors_in(given) if t.is_cuda}

    def run(model: nn.Module) -> None:
        with torch.random.fork_rng(devices), as_in_training(model), torch.no_grad():
            torch.manual_seed(0)
            call_model(model, copy.deepcopy(given))

    try:
        run(copied(graph.model))  # a loss may keep something of what it sees
    except Exception:  # noqa: BLE001 - user code may raise anything
        return None
    return run
