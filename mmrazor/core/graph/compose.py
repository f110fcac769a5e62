# Iterative pruning cuts what was cut before; a checkpoint is rebuilt from the original
# model's code, so what it stores must be one cut of the original.
"""Cuts in turn as one, and cuts taken back."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .cuts import Cuts
from .names import tensor_named


def composed(first: Cuts, second: Cuts) -> Cuts:
    """Return the cuts that do at once what two do in turn.

    Args:
        first: Made for the original model.
        second: Made for what ``first`` leaves of it.

    Example:
        >>> first = Cuts({'w': {0: [1, 4, 6]}})
        >>> composed(first, Cuts({'w': {0: [0, 2], 1: [3]}})).slots
        {'w': {0: [1, 6], 1: [3]}}
    """
    slots = {name: dict(axes) for name, axes in first.slots.items()}
    for name, axes in second.slots.items():
        mine = slots.setdefault(name, {})
        for axis, kept in axes.items():
            before = mine.get(axis)
            mine[axis] = list(kept) if before is None else [before[i] for i in kept]
    attributes = {name: dict(values) for name, values in first.attributes.items()}
    for name, values in second.attributes.items():
        attributes.setdefault(name, {}).update(values)
    return Cuts(slots, attributes, {**first.replaced, **second.replaced})


class Undo:
    """What a model was before cuts, to be put back.

    It holds the tensors that shrink at their old size, wherever the model may be moved
    meanwhile.

    Args:
        model: The model, not cut yet.
        cuts: What it will be cut by.
    """

    def __init__(self, model: nn.Module, cuts: Cuts) -> None:
        self.data: dict[str, Tensor] = {
            name: tensor_named(model, name).data for name in cuts.slots
        }
        self.attributes: dict[str, dict[str, Any]] = {
            path: {name: getattr(model.get_submodule(path), name) for name in values}
            for path, values in cuts.attributes.items()
        }
        self.modules = {path: model.get_submodule(path) for path in cuts.replaced}

    def apply_(self, model: nn.Module) -> None:
        """Put everything back; parameters stay the same objects, gradients go."""
        for path, old in self.modules.items():
            new = model.get_submodule(path)
            old._parameters.update(new._parameters)
            old._buffers.update(new._buffers)
            old.training = new.training
            parent, _, leaf = path.rpartition(".")
            setattr(model.get_submodule(parent), leaf, old)
        for path, values in self.attributes.items():
            for name, value in values.items():
                setattr(model.get_submodule(path), name, value)
        for name, data in self.data.items():
            tensor = tensor_named(model, name)
            tensor.grad = None
            tensor.data = data.to(tensor.device, tensor.dtype)
