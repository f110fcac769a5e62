"""What dropping one channel saves: the divisors of Group Fisher Pruning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ....core.cost import CostTable
from ....core.graph import ChannelGraph
from ....core.graph.names import owner_of

NORMALIZATIONS = ("macs", "activations", None)


def channel_savings(
    graph: ChannelGraph, normalize: str | None, run: Callable[[], Any]
) -> dict[str, float]:
    """Return what dropping one channel of each group saves.

    Args:
        graph: Of the model as it is.
        normalize: ``macs``, exactly, of the example that the graph was made with;
            ``activations``, the elements that the layers that make the channel return
            for it; None for 1.
        run: Runs the model once, for ``activations``.
    """
    names = [group.name for group in graph.groups]
    if normalize == "macs":
        savings = CostTable.of(graph.sizes(), *graph.products()).savings({})
        return {name: float(savings[name].macs) for name in names}
    if normalize == "activations":
        return _activations(graph, run)
    return dict.fromkeys(names, 1.0)


def _activations(graph: ChannelGraph, run: Callable[[], Any]) -> dict[str, float]:
    """Count outputs of layers; a group whose maker is not called as one saves 0."""
    makers = {
        owner_of(slot.name)[0]
        for group in graph.groups
        for slot in group.slots
        if slot.role == "out"
    }
    elements: Counter[str] = Counter()

    def count(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                elements[name] += output.numel()

        return hook

    handles = [
        graph.model.get_submodule(name).register_forward_hook(count(name))
        for name in makers
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    savings = {}
    for group in graph.groups:
        made = [
            elements[owner_of(slot.name)[0]]
            / group.tensor(slot).shape[slot.axis]
            * slot.indices.shape[1]
            for slot in group.slots
            if slot.role == "out"
        ]
        savings[group.name] = sum(made) if all(made) else 0.0
    return savings
