"""Modules whose layers are rounded together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch

from torch import nn

from ....core.names import is_inside
from ..dependence import from_inputs
from ..flow import Flow
from .layers import LayerCall, WeightLayer


@dataclass
class Block:
    """A module and the layers in it.

    Args:
        name: Of the module; None of a layer that the whole model calls itself.
        layers: With a quantized weight, in the order of the run.
    """

    name: str | None
    layers: list[WeightLayer] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Name of the block in reports."""
        return self.layers[0].text if self.name is None else self.name

    @property
    def activations(self) -> list[LayerCall]:
        """What is called on the result of a block that is one layer alone."""
        found = [entry for layer in self.layers for entry in layer.activations.items()]
        if len(found) != 1 or found[0][0].module != self.name:
            return []
        return found[0][1]


def blocks_of(
    model: nn.Module,
    flow: Flow,
    layers: Sequence[WeightLayer],
    names: Sequence[str] | None = None,
) -> list[Block]:
    """Return blocks that hold all layers, in the order of the run.

    Args:
        model: The model.
        flow: A run of it.
        layers: Its layers.
        names: Names or patterns of modules that are blocks; of those inside one another
            the outermost. None finds the innermost modules that add what is computed in
            them to what they are given. A layer in none of them is a block of its own.

    Raises:
        ValueError: If one of the names is that of no module with such a layer.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from mmrazor.models.quantizers.flow import flow_of
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> blocks_of(net, flow_of(net, torch.rand(1, 2)), [])
        []
    """
    if names is None:
        residual = _residual(flow)
        outer = {n for n in residual if any(_above(n, other) for other in residual)}
        found = residual - outer
    else:
        found = _named(model, layers, names)
        found -= {n for n in found if any(_above(other, n) for other in found)}
    owns = {site.module for layer in layers for site in layer.calls}
    singles = {name for name in owns if not any(is_inside(name, f) for f in found)}
    singles -= {
        n for n in singles if any(_above(other, n) for other in singles if other)
    }
    blocks: dict[str, Block] = {}
    for layer in layers:
        name = _home(layer, (found | singles) - {""})
        key = layer.text if name is None else f"module {name}"
        blocks.setdefault(key, Block(name)).layers.append(layer)
    return list(blocks.values())


def _residual(flow: Flow) -> set[str]:
    """Return the modules that add two values which both depend on the input."""
    moving = from_inputs(flow)
    return {
        call.site.module
        for call in flow.calls
        if call.kind == "add" and call.site.module
        if len([value for value in call.inputs if value in moving]) == 2
    }


def _named(
    model: nn.Module, layers: Sequence[WeightLayer], names: Sequence[str]
) -> set[str]:
    used = [site.module for layer in layers for site in layer.calls]
    known = [name for name, _ in model.named_modules() if name]
    found: set[str] = set()
    for pattern in names:
        matches = {name for name in known if fnmatch(name, pattern)}
        if not any(is_inside(module, name) for module in used for name in matches):
            raise ValueError(
                f"blocks has '{pattern}', which is no module with a quantized weight. "
                f"There are {', '.join(used[:6])} and {max(len(used) - 6, 0)} more."
            )
        found |= matches
    return found


def _above(outer: str, inner: str) -> bool:
    return outer != inner and is_inside(inner, outer)


def _home(layer: WeightLayer, found: set[str]) -> str | None:
    """Return the module that all calls of a layer are in, None if there is none."""
    for name in found:
        if all(is_inside(site.module, name) for site in layer.calls):
            return name
    return None
