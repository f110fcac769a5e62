# A layer is a module in whose forward no other module ran. Which sizes of its tensors
# are channels of which groups is found by running the model with one unit less.
"""The layers that a model calls, and how their tensors shrink with each group."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ..core.forward import call_model, evaluating, map_tensors
from ..core.graph import ChannelGraph, slim


@dataclass
class LayerCall:
    """One call of a layer; tensors are on the meta device, so they take no memory.

    Args:
        name: Of the module.
        args: Positional arguments.
        kwargs: Keyword arguments.
        output: What it returned.
        shrinks: For each place, a tensor's number and its dim, what one unit of a group
            takes off; tensors of the output come after those of the input.
        is_layer: Whether no other module ran inside it.
    """

    name: str
    args: tuple
    kwargs: dict[str, Any]
    output: Any = None
    shrinks: dict[tuple[int, int], dict[str, int]] = field(default_factory=dict)
    is_layer: bool = True

    def tensors(self) -> list[Tensor]:
        """Return the tensors that go in, then those that come out."""
        return [*self.inputs(), *_tensors_in(self.output)]

    def inputs(self) -> list[Tensor]:
        """Return the tensors that go in."""
        return _tensors_in([self.args, self.kwargs])


def layer_calls(graph: ChannelGraph, inputs: Any) -> list[LayerCall]:
    """Return the calls of all layers, in order, with what each group takes off."""
    calls = _recorded(graph.model, inputs)
    for group in graph.groups:
        if group.size < 2:
            continue
        small = slim(graph.model, graph.cuts({group.name: range(group.size - 1)}))
        others = _recorded(small, inputs, {call.name for call in calls})
        if _outline(others) != _outline(calls):
            print_log(
                f"With one unit of '{group.name}' less, other layers run, so the "
                "latency table does not know what it saves.",
                logger="current",
                level=logging.WARNING,
            )
            continue
        for call, other in zip(calls, others, strict=True):
            pairs = zip(call.tensors(), other.tensors(), strict=True)
            for number, (before, after) in enumerate(pairs):
                sizes = zip(before.shape, after.shape, strict=True)
                for dim, (many, fewer) in enumerate(sizes):
                    if many > fewer:
                        place = call.shrinks.setdefault((number, dim), {})
                        place[group.name] = many - fewer
    return calls


def _outline(calls: Sequence[LayerCall]) -> list[tuple[str, list[int]]]:
    """Return the names of calls, and how many dims their tensors have."""
    return [(call.name, [t.dim() for t in call.tensors()]) for call in calls]


def _recorded(
    model: nn.Module, inputs: Any, names: Container[str] | None = None
) -> list[LayerCall]:
    """Run a model and return its layers' calls.

    Args:
        model: It is left as it was.
        inputs: What it is called with.
        names: Modules that are layers, where the model's code may be another one.
    """
    running: list[LayerCall] = []
    done: list[LayerCall] = []

    def shapes(value: Any) -> Any:
        return map_tensors(value, lambda t: torch.empty_like(t, device="meta"))

    def follow(name: str, module: nn.Module) -> Iterator[Any]:
        def enter(_: Any, args: tuple, kwargs: dict) -> None:
            if running:
                running[-1].is_layer = False
            running.append(LayerCall(name, shapes(args), shapes(kwargs)))

        def leave(_: Any, args: tuple, kwargs: dict, output: Any) -> None:
            call = running.pop()
            call.output = shapes(output)
            if call.is_layer if names is None else call.name in names:
                done.append(call)

        yield module.register_forward_pre_hook(enter, with_kwargs=True)
        yield module.register_forward_hook(leave, with_kwargs=True)

    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        for name, module in model.named_modules():
            for handle in follow(name, module):
                stack.callback(handle.remove)
        call_model(model, inputs)
    return done


def _tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors that ``map_tensors`` finds, in its order."""
    found: list[Tensor] = []
    map_tensors(value, found.append)
    return found
