"""Time the layers of a model alone, at several widths, for a LatencyTable."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ..core.cost import Extent, LatencyTable, LayerTimes, device_name, measure_latency
from ..core.forward import map_tensors
from ..core.graph import ChannelGraph, Cuts, slim
from ..core.graph.trace import tensors_in
from ..core.names import is_inside
from ..models.pruners import channels_per_unit
from .latency_calls import LayerCall, layer_calls

#: From a layer, its arguments and its keyword arguments to milliseconds.
Timer: TypeAlias = "Callable[[nn.Module, tuple, dict], float]"
Widths: TypeAlias = "dict[int, dict[str, int]]"
_BUDGET_MS = 40.0


def measure_table(
    graph: ChannelGraph,
    inputs: Any,
    dense_ms: float,
    device: str | torch.device = "cpu",
    *,
    calls: Sequence[LayerCall] | None = None,
    points: int = 8,
    timer: Timer | None = None,
    advance: Callable[[], None] = lambda: None,
) -> LatencyTable:
    """Time every layer whose width depends on the groups of a graph.

    Args:
        graph: Of a model on the CPU.
        inputs: What the model is called with.
        dense_ms: Measured for the whole model.
        device: Where layers are timed.
        calls: From :func:`~.latency_calls.layer_calls`, if they are known.
        points: Widths of each axis, from one unit to all.
        timer: Measures a layer; default is the median of several calls.
        advance: Called after each layer.
    """
    timer = timer or layer_timer(device)
    known: dict[Any, float] = {}
    layers, odd = [], []
    for call in layer_calls(graph, inputs) if calls is None else calls:
        found = _times(graph, call, points, device, timer, known)
        layers += [found] if isinstance(found, LayerTimes) else []
        odd += [found] if isinstance(found, str) else []
        advance()
    if odd:
        print_log(
            f"{len(odd)} layers do not run alone when they are narrower, such as "
            f"{odd[0]}; the latency table takes their time to be the same always.",
            logger="current",
            level=logging.WARNING,
        )
    model = fingerprint(graph, inputs)
    return LatencyTable(graph.sizes(), layers, dense_ms, device_name(device), model)


def fingerprint(graph: ChannelGraph, inputs: Any) -> str:
    """Return what tells a model, its groups and its inputs' shapes from others."""
    parts = [
        type(graph.model).__name__,
        {name: list(p.shape) for name, p in graph.model.named_parameters()},
        graph.sizes(),
        [list(tensor.shape) for tensor in tensors_in(inputs)],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def layer_timer(device: str | torch.device) -> Timer:
    """Return a timer that leaves out what an empty call takes."""

    def measured(layer: nn.Module, args: tuple, kwargs: dict) -> float:
        call = _Bound(layer.to(device), kwargs, device)
        once = measure_latency(call, args, warmup=2, repeats=1).median_ms
        repeats = int(min(50, max(5, _BUDGET_MS / max(once, 1e-3))))
        return measure_latency(call, args, warmup=1, repeats=repeats).median_ms

    empty_ms = measured(nn.Identity(), (torch.zeros(1, device=device),), {})
    return lambda layer, args, kwargs: max(
        0.0, measured(layer, args, kwargs) - empty_ms
    )


class _Bound(nn.Module):
    """A layer with its keyword arguments, and a buffer that tells the device."""

    def __init__(self, layer: nn.Module, kwargs: dict, device: Any) -> None:
        super().__init__()
        self.layer, self.kwargs = layer, kwargs
        self.register_buffer("place", torch.zeros(1, device=device))

    def forward(self, *args: Any) -> Any:
        return self.layer(*args, **self.kwargs)


def _times(
    graph: ChannelGraph,
    call: LayerCall,
    points: int,
    device: Any,
    timer: Timer,
    known: dict[Any, float],
) -> LayerTimes | str | None:
    """Return times of a layer, None if no group changes it, or why it does not run."""
    number_in = len(call.inputs())
    changed = {
        group.name
        for group in graph.groups
        if any(is_inside(m, call.name) for m in group.modules())
    }
    first: set[str] = set()
    for (number, _), place in call.shrinks.items():
        changed |= set(place)
        first |= set(place) if number < number_in else set()
    rest = changed - first
    if not changed:
        return None
    ins = _extent(graph, call, first, range(number_in))
    outs = _extent(graph, call, rest, range(number_in, len(call.tensors())))
    grids = [_grid(graph, extent, points) for extent in (ins, outs)]
    layer = graph.model.get_submodule(call.name)
    rows = []
    for of_ins in grids[0].values():
        row = []
        for of_outs in grids[1].values():
            kept = {**of_ins, **of_outs}
            try:
                small = _alone(graph, call.name, layer, kept)
                args, kwargs = _filled(graph, call, kept, device)
                shapes = [tuple(t.shape) for t in tensors_in([args, kwargs])]
                key = (repr(small), _sizes(small), str(shapes))
                if key not in known:
                    known[key] = timer(small, args, kwargs)
            except Exception as err:  # noqa: BLE001 - user code may raise anything
                return f"'{call.name}' ({type(err).__name__}: {err})"
            row.append(known[key])
        rows.append(tuple(row))
    grid_in, grid_out = map(tuple, grids)
    return LayerTimes(call.name, ins, outs, grid_in, grid_out, tuple(rows))


def _extent(
    graph: ChannelGraph, call: LayerCall, names: set[str], numbers: range
) -> Extent:
    """Return the channels that groups have in some tensors, each layout once."""
    sizes, tensors = graph.sizes(), call.tensors()
    layouts = set()
    for (number, dim), place in call.shrinks.items():
        per_unit = {name: n for name, n in place.items() if name in names}
        if number in numbers and per_unit:
            const = tensors[number].shape[dim]
            const -= sum(n * sizes[name] for name, n in place.items())
            layouts.add((const, tuple(sorted(per_unit.items()))))
    total: dict[str, int] = {}
    for _, items in layouts:
        for name, width in items:
            total[name] = total.get(name, 0) + width
    # Groups inside the layer, such as heads, are in none of its tensors.
    hidden = sorted(name for name in names if name not in total)
    total |= {name: channels_per_unit(graph[name]) for name in hidden}
    return Extent(sum(const for const, _ in layouts), total)


def _grid(graph: ChannelGraph, extent: Extent, points: int) -> Widths:
    """Return numbers of channels, ascending, with the units that make them."""
    sizes = {name: graph.sizes()[name] for name in extent.per_unit}
    grid: Widths = {}
    for step in range(points + 1):
        kept = {name: max(1, -(-size * step // points)) for name, size in sizes.items()}
        grid[extent.size(kept)] = kept
    return dict(sorted(grid.items()))


def _alone(
    graph: ChannelGraph, name: str, layer: nn.Module, kept: Mapping[str, int]
) -> nn.Module:
    """Return a narrower copy of one layer."""
    cuts = graph.cuts({group: range(count) for group, count in kept.items()})

    def of_layer(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for path, value in values.items():
            if is_inside(path, name):
                yield f"layer.{path.removeprefix(name).lstrip('.')}".rstrip("."), value

    parts = (cuts.slots, cuts.attributes, cuts.replaced)
    own = Cuts(*(dict(of_layer(values)) for values in parts))
    return slim(nn.ModuleDict({"layer": layer}), own).get_submodule("layer")


def _filled(
    graph: ChannelGraph, call: LayerCall, kept: Mapping[str, int], device: Any
) -> tuple[tuple, dict]:
    """Return arguments as they are with these units."""
    sizes, numbers = graph.sizes(), iter(range(len(call.inputs())))

    def filled(tensor: Tensor) -> Tensor:
        number, shape = next(numbers), list(tensor.shape)
        for dim in range(len(shape)):
            for name, width in call.shrinks.get((number, dim), {}).items():
                shape[dim] -= width * (sizes[name] - kept.get(name, sizes[name]))
        if tensor.is_floating_point():
            return torch.rand(shape, dtype=tensor.dtype, device=device)
        return torch.zeros(shape, dtype=tensor.dtype, device=device)

    return map_tensors(call.args, filled), map_tensors(call.kwargs, filled)


def _sizes(module: nn.Module) -> str:
    return str([(name, *t.shape) for name, t in module.state_dict().items()])
