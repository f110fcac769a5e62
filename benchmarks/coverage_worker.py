"""One model of the coverage benchmark, from building to reloading, stage by stage."""

from __future__ import annotations

import os
import resource
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from coverage_models import CoverageModel
from coverage_recipes import Recipe, recipe
from coverage_stage import Stage
from coverage_training import trained
from torch import Tensor, nn

import mmrazor
from mmrazor.core.forward import call_model, evaluating
from mmrazor.core.graph import ChannelGraph
from mmrazor.core.graph.trace import tensors_in
from mmrazor.models.pruners import BudgetError, Pruned, prune_graph

BUDGET, IMPORTANCE = 0.5, "L2Importance"
_CORRECTIONS = 3


@dataclass(frozen=True)
class Limits:
    """What a model may need; one that needs more is left out, and listed as such.

    Args:
        params: Parameters, in millions.
        macs: Multiply-accumulates of one forward pass, in billions.
        memory: Of its process, in GiB.
        seconds: For all of it.
    """

    params: float = 250.0
    macs: float = 200.0
    memory: float = 8.0
    seconds: float = 300.0

    def __str__(self) -> str:
        return (
            f"Left out are models above {self.params:.0f} million parameters, "
            f"{self.macs:.0f} billion MACs, {self.memory:.0f} GiB of memory or "
            f"{self.seconds:.0f} seconds for all of it."
        )


class TooHeavyError(Exception):
    """A model is above a limit."""


def work(
    model: CoverageModel, limits: Limits, log: str, prune: bool, pipe: Connection
) -> None:
    """Run all stages of one model in this process; report them through the pipe."""
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for output in (sys.stdout, sys.stderr):
        os.dup2(stream, output.fileno())
    _restrict(limits)
    torch.manual_seed(0)
    found = _run(model, limits, pipe.send)
    if found and prune:
        _compress(*found, pipe.send)
    pipe.close()


def _restrict(limits: Limits) -> None:
    """Set the memory limit; refuse every look-up of a host name, so downloads fail."""
    most = int(limits.memory * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    torch.set_num_threads(1)

    def refuse(host: Any, *_: Any, **__: Any) -> Any:
        raise OSError(f"This benchmark is offline; '{host}' was asked for.")

    socket.getaddrinfo = refuse


def _run(
    model: CoverageModel, limits: Limits, send: Callable[[Any], None]
) -> tuple[Recipe, nn.Module, dict[str, Any]] | None:
    """Build a model and run it in its host; return it with its inputs."""
    with Stage("build", send) as stage:
        how = recipe(model)
        send(("fields", {"config": how.config}))
        built = how.build()
    if not stage.passed:
        return None
    with Stage("size", send) as stage:
        params = sum(p.numel() for p in built.parameters())
        send(("fields", {"params": params}))
        if params > limits.params * 1e6:
            raise TooHeavyError(
                f"{params / 1e6:.0f} M parameters, more than {limits.params:.0f} M"
            )
    if not stage.passed:
        return None
    with Stage("run", send) as stage:
        inputs, size = _inputs(built, how.sizes)
        cost = mmrazor.count_cost(built, inputs)
        mode = inputs.get("mode", "forward")
        send(("fields", {"size": size, "mode": mode, "macs": cost.macs}))
        if cost.macs > limits.macs * 1e9:
            raise TooHeavyError(
                f"{cost.macs / 1e9:.0f} G MACs, more than {limits.macs:.0f} G"
            )
    if not stage.passed:
        return None
    with Stage("forward", send) as stage:
        outputs = _outputs(built, inputs)
        finite = sum(int(tensor.isfinite().sum()) for tensor in outputs)
        count = sum(tensor.numel() for tensor in outputs)
        send(("fields", {"outputs": count, "outputs_finite": finite}))
    return (how, built, inputs) if stage.passed else None


def _inputs(
    model: nn.Module, sizes: tuple[tuple[int, int], ...]
) -> tuple[dict[str, Any], tuple[int, int]]:
    """Make inputs of the first size that the model runs on."""
    for size in sizes[:-1]:
        try:
            return mmrazor.example_inputs(model, size), size
        except ValueError as err:
            sys.stderr.write(f"{size}: {err}\n")
    return mmrazor.example_inputs(model, sizes[-1]), sizes[-1]


def _compress(
    how: Recipe, model: nn.Module, inputs: dict[str, Any], send: Callable[[Any], None]
) -> None:
    """Prune a model to half its MACs; save, reload and train the small one."""
    # What mmrazor.prune does, in two steps.
    with Stage("trace", send) as stage:
        graph = mmrazor.channel_graph(model, inputs)
        send(("fields", _frozen(graph)))
    if not stage.passed:
        return
    with Stage("prune", send) as stage:
        pruned = _pruned(graph, inputs, send)
        send(("fields", {**_figures(pruned), **_frozen(graph)}))
    if not stage.passed:
        return
    with Stage("reload", send), tempfile.TemporaryDirectory() as folder:
        weights, subnet = Path(folder, "weights.pth"), Path(folder, "subnet.yaml")
        torch.save(pruned.model.state_dict(), weights)
        pruned.subnet.dump(subnet)
        small = mmrazor.load_subnet(how.build(), subnet, weights)
        difference = _difference(
            _outputs(pruned.model, inputs), _outputs(small, inputs)
        )
        send(("fields", {"reload_difference": difference}))
    with Stage("backward", send):
        send(("fields", _backward(pruned.model, inputs)))
    with Stage("train", send):
        batch = _batch_of(2, model, inputs)
        pruned.model.zero_grad()
        send(("fields", trained(pruned.model, how.build, batch)))


def _batch_of(count: int, model: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return inputs like some with more images: norms want several in training."""
    images = inputs.get("inputs", next(iter(inputs.values())))
    height, width = next(tensors_in(images)).shape[-2:]
    try:
        return mmrazor.example_inputs(model, (height, width), count)
    except ValueError as err:
        sys.stderr.write(f"{count} images: {err}\n")
        return inputs


def _pruned(
    graph: ChannelGraph, inputs: dict[str, Any], send: Callable[[Any], None]
) -> Pruned:
    """Prune to half the MACs, or to the least that the groups allow.

    Groups that break the model are frozen on the way, so the least may have to be
    corrected.
    """
    macs: float = BUDGET
    for _ in range(_CORRECTIONS):
        try:
            return prune_graph(graph, inputs, {"macs": macs}, IMPORTANCE)
        except BudgetError as err:
            macs = err.minimum["macs"]
            send(("fields", {"least_macs": macs}))
    return prune_graph(graph, inputs, {"macs": macs}, IMPORTANCE)


def _frozen(graph: ChannelGraph) -> dict[str, Any]:
    reasons = Counter(graph.unprunable.values()).most_common()
    return {"groups": len(graph.groups), "frozen": reasons}


def _figures(pruned: Pruned) -> dict[str, Any]:
    return {
        "macs_share": pruned.cost.macs / max(pruned.dense_cost.macs, 1),
        "params_share": pruned.cost.params / max(pruned.dense_cost.params, 1),
        "difference": pruned.max_difference,
    }


def _outputs(model: nn.Module, inputs: dict[str, Any]) -> list[Tensor]:
    torch.manual_seed(0)
    with evaluating(model):
        return _floats(model, inputs)


def _floats(model: nn.Module, inputs: dict[str, Any]) -> list[Tensor]:
    """Run a model; list its floating-point outputs that are no inputs handed on."""
    given = list(tensors_in(inputs))  # before: a host adds its predictions to them
    known = {id(tensor) for tensor in given}
    floats = (
        tensor
        for tensor in tensors_in(call_model(model, inputs))
        if tensor.is_floating_point()
    )
    return [tensor for tensor in floats if id(tensor) not in known]


def _difference(one: list[Tensor], other: list[Tensor]) -> float:
    """Return the largest absolute difference; infinite if shapes are not the same."""
    if [tensor.shape for tensor in one] != [tensor.shape for tensor in other]:
        return float("inf")
    pairs = zip(one, other, strict=True)
    unequal = [
        (a - b).abs().max().item()
        for a, b in pairs
        if not torch.equal(a.nan_to_num(), b.nan_to_num())
    ]
    return max(unequal, default=0.0)


def _backward(model: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    """Differentiate the sum of all outputs, in eval mode."""
    model.eval()
    outputs = _floats(model, inputs)
    total = sum(tensor.sum() for tensor in outputs if tensor.requires_grad)
    if not isinstance(total, Tensor):
        raise ValueError("No output depends on a parameter.")
    total.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    finite = all(bool(gradient.isfinite().all()) for gradient in gradients)
    return {"gradients": len(gradients), "gradients_finite": finite}
