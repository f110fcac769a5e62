"""Let a model run with other tensors in its parameters' and buffers' places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from torch import Tensor, nn

from .names import tensor_named

#: A dictionary of a module (its parameters, buffers, children, attributes) and a key.
Place: TypeAlias = "tuple[dict[str, Any], str]"
_ABSENT = object()


@contextmanager
def swapped(changes: Iterable[tuple[Place, Any]]) -> Iterator[None]:
    """Put values into dictionaries of modules, and the old ones back on exit."""
    old: list[tuple[Place, Any]] = []
    try:
        for (registry, leaf), value in changes:
            old.append(((registry, leaf), registry.get(leaf, _ABSENT)))
            registry[leaf] = value
        yield
    finally:
        for (registry, leaf), value in reversed(old):
            if value is _ABSENT:
                registry.pop(leaf, None)
            else:
                registry[leaf] = value


def places_of(model: nn.Module) -> dict[int, list[Place]]:
    """Return where modules hold every parameter and buffer, by its id."""
    places: dict[int, list[Place]] = {}
    for module in model.modules():
        for registry in (module._parameters, module._buffers):
            for leaf, tensor in registry.items():
                if tensor is not None:
                    places.setdefault(id(tensor), []).append((registry, leaf))
    return places


@contextmanager
def running_scaled(
    model: nn.Module, scales: Mapping[tuple[str, int], Tensor]
) -> Iterator[None]:
    """Let a model run with parameters that are multiplied along an axis.

    Gradients go to the full parameters and to the scales.

    Args:
        model: The model.
        scales: By parameter and axis, one factor for each index along the axis.

    Example:
        >>> import torch
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.ones_(layer.weight)
        >>> with running_scaled(layer, {('weight', 1): torch.tensor([0.5, 2.])}):
        ...     layer(torch.ones(1, 2)).item()
        2.5
    """
    places = places_of(model)
    scaled: dict[str, Tensor] = {}
    for (name, axis), factors in scales.items():
        full = scaled.get(name, tensor_named(model, name))
        shape = [-1 if dim == axis else 1 for dim in range(full.dim())]
        scaled[name] = full * factors.to(full.device, full.dtype).view(shape)
    changes = [
        (place, value)
        for name, value in scaled.items()
        for place in places[id(tensor_named(model, name))]
    ]
    with swapped(changes):
        yield


@contextmanager
def scratch_buffers(model: nn.Module) -> Iterator[None]:
    """Forget what forward passes write into a model's buffers meanwhile."""
    copies: dict[int, Tensor] = {}
    changes: list[tuple[Place, Any]] = []
    for module in model.modules():
        for leaf, buffer in module._buffers.items():
            if buffer is not None:
                copy = copies.setdefault(id(buffer), buffer.clone())
                changes.append(((module._buffers, leaf), copy))
    with swapped(changes):
        yield
