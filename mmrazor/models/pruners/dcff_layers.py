# The channel graph says which rows of which weights are one filter. What a network that
# fuses its filters needs beside its weights is small and plain: checkpoints hold it.
"""Put fused convolutions into a network, and take them out again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...core.graph import ChannelGraph, Cuts
from ..ops import FuseConv2d, inter_filter_divergence, kept_slots
from .cutting import Shrunk, cut_, renew_gradient_
from .pruning_state import PruningStateError

#: By convolution, the group of its filters and their rows in the weight.
Filters = Mapping[str, tuple[str, Tensor]]


@dataclass(frozen=True)
class Fusion:
    """What fused convolutions need beside their weights.

    Args:
        filters: Group and rows of the filters of each convolution.
        begun: Representatives by group that the network was cut to, ascending.
        representatives: Those of now, one for each place, by group.
        inverse_temperature: Of now.
    """

    filters: dict[str, tuple[str, Tensor]]
    begun: dict[str, list[int]]
    representatives: dict[str, list[int]]
    inverse_temperature: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data and tensors for a checkpoint."""
        return {
            "filters": {name: list(item) for name, item in self.filters.items()},
            "begun": dict(self.begun),
            "representatives": dict(self.representatives),
            "inverse_temperature": self.inverse_temperature,
        }

    @classmethod
    def from_dict(cls, data: Any) -> Fusion:
        """Read it back.

        Raises:
            PruningStateError: If it is not what :meth:`to_dict` makes.
        """
        try:
            filters = {str(n): (str(g), u) for n, (g, u) in data["filters"].items()}
            return cls(**{**data, "filters": filters})
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise PruningStateError(
                "What the checkpoint says of fused filters cannot be read "
                f"({type(err).__name__}: {err}). Resume from one that DCFF wrote while "
                "it trained."
            ) from err


def fusible_filters(graph: ChannelGraph) -> dict[str, tuple[str, Tensor]]:
    """Return the convolutions whose filters can be fused.

    These are trained ``nn.Conv2d`` with a weight of their own, all of whose rows belong
    to one group.

    Args:
        graph: Of the dense network.

    Returns:
        By name of the layer, the group and the rows of each filter, ``(C, n)``.
    """
    modules = dict(graph.model.named_modules())
    users = Counter(id(p) for m in modules.values() for p in m._parameters.values())
    found = {}
    for group in graph.groups:
        for slot in group.slots:
            path, _, leaf = slot.name.rpartition(".")
            layer = modules.get(path)
            if (leaf, slot.axis, type(layer)) != ("weight", 0, nn.Conv2d):
                continue
            weight = group.tensor(slot)
            alone = users[id(weight)] == 1 and weight.requires_grad
            if alone and slot.indices.numel() == len(weight):
                found[path] = (group.name, slot.indices.clone())
    return found


def divergences(
    model: nn.Module, filters: Filters, inverse_temperature: float
) -> dict[str, Tensor]:
    """Return the importance of the filters of every group.

    A group's is the sum over its convolutions, so that those that add up in a residual
    stream keep the same filters.

    Args:
        model: The network, fused or not.
        filters: What is fused.
        inverse_temperature: See :func:`~mmrazor.models.ops.inter_filter_divergence`.
    """
    sums: dict[str, Tensor] = {}
    for name, (group, units) in filters.items():
        weight = model.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        rows = weight.detach()[units.to(weight.device)].flatten(1)
        score = inter_filter_divergence(rows, inverse_temperature).cpu()
        sums[group] = sums[group] + score if group in sums else score
    return sums


def chosen_again(
    model: nn.Module, fusion: Fusion, inverse_temperature: float
) -> Fusion:
    """Return the fusion with the representatives of the filters as they are now.

    Those with the largest importance are chosen; of equal ones the first. Who stays
    keeps its place.

    Args:
        model: The network that is fused.
        fusion: How it is until now.
        inverse_temperature: From now on.
    """
    scores = divergences(model, fusion.filters, inverse_temperature)
    representatives = {}
    for group, before in fusion.representatives.items():
        order = scores[group].argsort(descending=True, stable=True)
        representatives[group] = kept_slots(before, order[: len(before)].tolist())
    return replace(
        fusion,
        representatives=representatives,
        inverse_temperature=inverse_temperature,
    )


def fuse_(model: nn.Module, cuts: Cuts, fusion: Fusion) -> Shrunk:
    """Cut a dense network, but for the filters that are fused from now on.

    Args:
        model: The network.
        cuts: To the compact network.
        fusion: How filters are fused.

    Returns:
        What became of each parameter that shrank.
    """
    slots = {name: dict(axes) for name, axes in cuts.slots.items()}
    for name in fusion.filters:
        for leaf in ("weight", "bias"):
            slots.get(f"{name}.{leaf}", {}).pop(0, None)
    left = {name: axes for name, axes in slots.items() if axes}
    shrunk = cut_(model, Cuts(left, cuts.attributes, cuts.replaced))
    new: dict[int, nn.Module] = {}
    for name, (group, units) in fusion.filters.items():
        source = model.get_submodule(name)
        assert isinstance(source, nn.Conv2d)
        begun = torch.tensor(fusion.begun[group])
        new[id(source)] = FuseConv2d(source, group, units, begun)
    _exchange_(model, new)
    represent_(model, fusion)
    return shrunk


def represent_(model: nn.Module, fusion: Fusion) -> None:
    """Give every fused convolution its representatives and temperature."""
    for name in fusion.filters:
        layer = fused_layer(model, name)
        chosen = torch.tensor(fusion.representatives[layer.group])
        layer.represent_(chosen, fusion.inverse_temperature)


def fix_(model: nn.Module, names: Sequence[str]) -> Shrunk:
    """Make fused convolutions plain ones with the fused filters.

    Parameters stay the same objects.

    Returns:
        What became of them; the state of a fused filter is its representative's.
    """
    shrunk: Shrunk = {}
    new: dict[int, nn.Module] = {}
    for name in names:
        layer = fused_layer(model, name)
        rows = layer.rows()
        with torch.no_grad():
            weight, bias = layer.fused()
        for leaf, value in (("weight", weight), ("bias", bias)):
            parameter = layer._parameters[leaf]
            if parameter is not None and value is not None:
                shrunk[parameter] = (parameter.shape, {0: rows})
                parameter.data = value
                renew_gradient_(parameter)
        new[id(layer)] = layer.unfused()
    _exchange_(model, new)
    return shrunk


def fused_layer(model: nn.Module, name: str) -> FuseConv2d:
    """Return a fused convolution by name."""
    layer = model.get_submodule(name)
    assert isinstance(layer, FuseConv2d), name
    return layer


def _exchange_(model: nn.Module, new: Mapping[int, nn.Module]) -> None:
    """Put new modules in the place of old ones, wherever these are."""
    for parent in list(model.modules()):
        for key, child in parent._modules.items():
            if id(child) in new:
                parent._modules[key] = new[id(child)]
