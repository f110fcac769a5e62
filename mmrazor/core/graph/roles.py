"""What a parameter's axis does with channels: make, read, scale or shift them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from .channel_group import Role
from .names import owner_of, tensor_named

_NORM_NAMES = ("Norm", "BN", "GRN")


def roles_of(
    model: nn.Module, axes: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], Role]:
    """Return the role of each of some axes of parameters and buffers.

    Example:
        >>> roles_of(nn.Linear(2, 3), [('weight', 0), ('weight', 1), ('bias', 0)])
        {('weight', 0): 'out', ('weight', 1): 'in', ('bias', 0): 'shift'}
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    return {(name, axis): _role(model, modules, name, axis) for name, axis in axes}


def _role(
    model: nn.Module, modules: Mapping[str, nn.Module], name: str, axis: int
) -> Role:
    path, leaf = owner_of(name)
    module = modules[path]
    tensor = tensor_named(model, name)
    if not isinstance(tensor, nn.Parameter):
        return "statistic"
    if "bias" in leaf and tensor.dim() == 1:
        return "shift"
    if isinstance(module, nn.Embedding):
        return "out" if axis == 1 else "other"
    if tensor.dim() >= 2 and "weight" in leaf:
        if axis > 1:
            return "other"
        transposed = getattr(module, "transposed", False)
        return "out" if (axis == 1) == bool(transposed) else "in"
    if tensor.dim() == 1 and leaf == "weight":
        norm = any(mark in type(module).__name__ for mark in _NORM_NAMES)
        return "scale" if norm else "other"
    return "other"
