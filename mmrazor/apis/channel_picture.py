"""Draw the layers of a network with their groups of channels in colour."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from ..core.files import write_atomically
from ..core.graph import ChannelGraph
from .figures import figure_type

_FROZEN = "#c8c8c8"
_MOST_LABELS = 60


def draw_channels(graph: ChannelGraph, path: str | Path) -> Path:
    """Write a picture: one column a layer, in order, coloured by group.

    Above the line are the channels that a layer makes, below it those that it reads;
    the same colour is the same group, grey is what cannot be pruned.

    Args:
        graph: The channel graph.
        path: Where to write it; the suffix says the format (``.png``, ``.svg``).

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    figure_class = figure_type("Install it, or leave out --picture.")
    colours = import_module("matplotlib").colormaps["hsv"]
    layers = _layers(graph)
    width = min(max(8.0, 0.22 * len(layers)), 60.0)
    figure = figure_class(figsize=(width, 5.5), layout="constrained")
    axes = figure.add_subplot()
    names = [group.name for group in graph.groups]
    # neighbours in the network get colours far apart
    places = {name: (7 * i % max(len(names), 1)) for i, name in enumerate(names)}
    palette = {n: colours(p / max(len(names), 1)) for n, p in places.items()}
    for column, layer in enumerate(layers.values()):
        for role, sign in (("out", 1), ("in", -1)):
            base = 0
            for name, count in layer[role]:
                colour = palette.get(name, _FROZEN)
                axes.bar(column, sign * count, bottom=sign * base, color=colour)
                base += count
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_yscale("symlog", linthresh=16)
    axes.set_ylabel("channels: read (below), made (above)")
    axes.set_title(
        f"{type(graph.model).__name__}: {len(names)} groups; grey cannot be pruned"
    )
    step = -(-len(layers) // _MOST_LABELS)
    ticks = list(range(0, len(layers), max(step, 1)))
    axes.set_xticks(ticks, [list(layers)[i] for i in ticks], rotation=90, fontsize=6)
    axes.set_xlim(-1, len(layers))
    return write_atomically(path, lambda place: figure.savefig(place, dpi=110))


def _layers(graph: ChannelGraph) -> dict[str, dict[str, list[tuple[str, int]]]]:
    """Return, for each layer with a weight, its channels by group and role."""
    layers: dict[str, dict[str, Any]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for name, weight in graph.model.named_parameters():
        if weight.dim() < 2 or not name.endswith("weight"):
            continue
        path = name.rpartition(".")[0]
        layers[path] = {"out": [], "in": []}
        sizes |= _axis_sizes(graph, path, weight)
    for group in graph.groups:
        for slot in group.slots:
            path = slot.name.rpartition(".")[0]
            if path in layers and slot.role in ("out", "in"):
                layers[path][slot.role].append((group.name, slot.indices.numel()))
    for (path, role), size in sizes.items():
        known = sum(count for _, count in layers[path][role])
        if size > known:
            layers[path][role].append(("", size - known))
    return layers


def _axis_sizes(
    graph: ChannelGraph, path: str, weight: Tensor
) -> dict[tuple[str, str], int]:
    module = graph.model.get_submodule(path)
    out = 1 if getattr(module, "transposed", False) else 0
    return {(path, "out"): weight.shape[out], (path, "in"): weight.shape[1 - out]}
