# Slimmable networks (Yu et al., 2019, arXiv:1812.08928) and their followers have layers
# that slice themselves. Here any module runs as it is: for the time of a forward pass
# its own dictionaries hold views in place of the full tensors.
"""Run a model at a smaller width, with views of its full parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..names import is_inside
from .channel_graph import ChannelGraph
from .cuts import Cuts
from .names import tensor_named
from .slim import REPLACEMENTS, slim
from .swap import Place, places_of, swapped

# What a replaced module has in common with the one that stands in for it.
_SHARED = (
    *("_parameters", "_buffers", "_modules"),
    *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
)


@dataclass(frozen=True, eq=False)
class _Narrowing:
    """One tensor that shrinks.

    Args:
        places: Where modules hold it; several if it is shared.
        kept: By axis, the first index and their number, or indices with gaps.
    """

    places: list[Place]
    kept: list[tuple[int, tuple[int, int] | Tensor]]

    def full(self) -> Tensor:
        registry, leaf = self.places[0]
        return registry[leaf]

    def small(self) -> Tensor:
        tensor = self.full()
        for axis, kept in self.kept:
            if isinstance(kept, tuple):
                tensor = tensor.narrow(axis, *kept)
            else:
                tensor = tensor.index_select(axis, kept.to(tensor.device))
        return tensor

    def is_copy(self) -> bool:
        return any(isinstance(kept, Tensor) for _, kept in self.kept)

    def write_back_(self, full: Tensor, small: Tensor) -> None:
        """Copy what became of a copied buffer into the full one."""
        lines = [torch.arange(size) for size in full.shape]
        for axis, kept in self.kept:
            if isinstance(kept, tuple):
                kept = torch.arange(kept[0], sum(kept))
            lines[axis] = kept
        mesh = torch.meshgrid(*(line.to(full.device) for line in lines), indexing="ij")
        with torch.no_grad():
            full.index_put_(mesh, small)


@dataclass(frozen=True, eq=False)
class NarrowPlan:
    """All that changes in a model for one width, looked up once.

    It holds modules of the model, not tensors: it stays valid when weights change, and
    ends with the model's shapes.
    """

    tensors: list[_Narrowing]
    values: list[tuple[Place, Any]]


def narrow_plan(model: nn.Module, cuts: Cuts) -> NarrowPlan:
    """Return the plan to run a model as if :func:`~.slim.slim` had cut it.

    Args:
        model: The model that the cuts were made for.
        cuts: What stays.

    Raises:
        AttributeError: If the model lacks what the cuts name.
    """
    places = places_of(model)
    tensors = []
    for name, axes in cuts.slots.items():
        kept = [(axis, _run_or_index(indices)) for axis, indices in axes.items()]
        tensors.append(_Narrowing(places[id(tensor_named(model, name))], kept))
    values: list[tuple[Place, Any]] = []
    for path, attributes in cuts.attributes.items():
        module = model.get_submodule(path)
        for name, value in attributes.items():
            if isinstance(getattr(module, name), tuple):
                value = tuple(value)
            values.append(((vars(module), name), value))
    for path, kind in cuts.replaced.items():
        parent, _, leaf = path.rpartition(".")
        stand_in = _stand_in(model.get_submodule(path), path, kind, cuts)
        values.append(((model.get_submodule(parent)._modules, leaf), stand_in))
    return NarrowPlan(tensors, values)


@contextmanager
def running_narrow(plan: NarrowPlan) -> Iterator[None]:
    """Let a model run at the width of a plan; all comes back on exit.

    Parameters are views (copies where the kept indices have gaps), so that gradients go
    to the full ones. What is written into buffers (statistics of norms) is kept.

    Args:
        plan: Of the model, see :func:`narrow_plan`.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> cuts = Cuts({'weight': {0: [0]}, 'bias': {0: [0]}})
        >>> with running_narrow(narrow_plan(layer, cuts)):
        ...     layer(torch.ones(4, 2)).shape
        torch.Size([4, 1])
        >>> layer.weight.shape
        torch.Size([3, 2])
    """
    pairs = [(one, one.full(), one.small()) for one in plan.tensors]
    changes = [(place, small) for one, _, small in pairs for place in one.places]
    for (registry, leaf), value in plan.values:
        if isinstance(value, nn.Module):
            value.training = registry[leaf].training
    with swapped([*changes, *plan.values]):
        yield
    for one, full, small in pairs:
        # batch norm writes into its buffers without a trace in their versions
        if one.is_copy() and not isinstance(full, nn.Parameter):
            one.write_back_(full, small)


class Widths:
    """Runs the model of a channel graph at any width.

    Args:
        graph: Its groups keep their first units.
        num_plans: Plans that are remembered.
    """

    def __init__(self, graph: ChannelGraph, num_plans: int = 64) -> None:
        self.graph = graph
        self.num_plans = num_plans
        self._plans: OrderedDict[tuple, NarrowPlan] = OrderedDict()

    def plan(self, counts: Mapping[str, int]) -> NarrowPlan:
        """Return the plan for a number of units of every group; others keep all."""
        key = tuple(sorted(counts.items()))
        plan = self._plans.pop(key, None)
        if plan is None:
            kept = {name: range(count) for name, count in counts.items()}
            plan = narrow_plan(self.graph.model, self.graph.cuts(kept))
        self._plans[key] = plan
        if len(self._plans) > self.num_plans:
            self._plans.popitem(last=False)
        return plan

    @contextmanager
    def at(self, counts: Mapping[str, int]) -> Iterator[None]:
        """Let the model run at this width, see :func:`running_narrow`."""
        with running_narrow(self.plan(counts)):
            yield


def _run_or_index(kept: Sequence[int]) -> tuple[int, int] | Tensor:
    first, count = kept[0], len(kept)
    if list(kept) == list(range(first, first + count)):
        return first, count
    return torch.tensor(kept, dtype=torch.long)


def _stand_in(source: nn.Module, path: str, kind: str, cuts: Cuts) -> nn.Module:
    """Return what replaces a module, with that module's own dictionaries."""
    inside = {
        name.removeprefix(f"{path}."): axes
        for name, axes in cuts.slots.items()
        if is_inside(name, path)
    }
    module = REPLACEMENTS[kind](slim(source, Cuts(inside)))
    vars(module).update({name: vars(source)[name] for name in _SHARED})
    return module
