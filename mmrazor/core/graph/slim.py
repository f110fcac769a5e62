"""Make the small model that cuts describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..forward import forget_caches_
from .attention import PrunedMultiheadAttention
from .copying import copied
from .cuts import Cuts
from .names import tensor_named


def slim(model: nn.Module, cuts: Cuts) -> nn.Module:
    """Return a smaller copy of a model; nothing is traced or run.

    Weights, buffers, train and eval flags, hooks, dtype and device are kept.

    Args:
        model: The model that the cuts were made for; it is left as it was.
        cuts: What stays.

    Raises:
        ValueError: If a slot or module is not there, or an index is out of range.

    Example:
        >>> slots = {'weight': {0: [1]}, 'bias': {0: [1]}}
        >>> cuts = Cuts(slots, {'': {'out_features': 1}})
        >>> slim(nn.Linear(4, 2), cuts)
        Linear(in_features=4, out_features=1, bias=True)
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        own = [*vars(module).values(), *module._buffers.values()]
        kept = [v for held in own if type(held) is dict for v in held.values()]
        for value in (*own, *kept):
            if isinstance(value, Tensor) and not value.is_leaf:  # computed anew later
                memo[id(value)] = value.detach().clone()
    for name, tensor in sliced_tensors(model, cuts).items():
        memo[id(_tensor(model, name))] = tensor
    small = _finish_(copied(model, memo), cuts)
    forget_caches_(small)  # of the full parameters
    return small


def slim_(model: nn.Module, cuts: Cuts) -> nn.Module:
    """Make a model smaller in place; its parameters stay the same objects.

    Args:
        model: The model that the cuts were made for.
        cuts: What stays.

    Returns:
        The same model.
    """
    for name, tensor in sliced_tensors(model, cuts).items():
        old = _tensor(model, name)
        old.grad = None
        old.data = tensor.data
    _finish_(model, cuts)
    forget_caches_(model)
    return model


def sliced_tensors(model: nn.Module, cuts: Cuts) -> dict[str, Tensor]:
    """Return the parameters and buffers that shrink, at their new size."""
    result = {}
    indices: dict[tuple[int, torch.device], Tensor] = {}  # many axes share a list
    for name, axes in cuts.slots.items():
        old = _tensor(model, name)
        new = old.detach()
        for axis, kept in axes.items():
            key = id(kept), old.device
            if key not in indices:
                indices[key] = torch.tensor(kept, dtype=torch.long, device=old.device)
            index = indices[key]
            if len(kept) == 0 or max(kept) >= old.shape[axis]:
                raise ValueError(
                    f"The cuts keep indices {kept[:3]}... of axis {axis} of '{name}', "
                    f"which has {old.shape[axis]}. They belong to another model."
                )
            new = new.index_select(axis, index)
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, requires_grad=old.requires_grad)
        result[name] = new
    return result


def _tensor(model: nn.Module, name: str) -> Tensor:
    try:
        return tensor_named(model, name)
    except AttributeError as err:
        raise ValueError(
            f"The cuts name '{name}', which {type(model).__name__} does not have. They "
            "belong to another model."
        ) from err


def _finish_(model: nn.Module, cuts: Cuts) -> nn.Module:
    for path, attributes in cuts.attributes.items():
        module = model.get_submodule(path)
        for name, value in attributes.items():
            old = getattr(module, name)
            setattr(module, name, tuple(value) if isinstance(old, tuple) else value)
    for path, kind in cuts.replaced.items():
        parent, _, leaf = path.rpartition(".")
        old = model.get_submodule(path)
        new = REPLACEMENTS[kind](old)
        setattr(model.get_submodule(parent), leaf, new)
    return model


def _attention(source: nn.Module) -> nn.Module:
    assert isinstance(source, nn.MultiheadAttention)
    return PrunedMultiheadAttention(source, source.head_dim)


REPLACEMENTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "PrunedMultiheadAttention": _attention
}
