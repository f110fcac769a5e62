# Keeping every feature map of a forward pass takes fresh memory for each, which costs
# more time than recording the operations. What the rules of operations read of a tensor
# of floats is its shape and strides, so one without elements does as well.
"""What is kept of the large tensors of a run."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_SMALL = 16384  # elements


class StandIns:
    """Objects that stand for large tensors, which need not be kept themselves."""

    def __init__(self) -> None:
        # A reference tells whether a tensor of this id still is the same one.
        self._known: dict[int, tuple[weakref.ref[Tensor], Tensor]] = {}

    def of(self, value: Any) -> Any:
        """Return an argument with what stands for its tensors."""
        if isinstance(value, Tensor):
            known = self._known.get(id(value))
            return value if known is None or known[0]() is not value else known[1]
        if isinstance(value, (list, tuple)):
            for item in value:
                if isinstance(item, Tensor):
                    return type(value)([self.of(item) for item in value])
        return value

    def of_result(self, value: Any, args: tuple, kwargs: dict) -> Any:
        """Return a result with what stands for its tensors from now on."""
        if isinstance(value, (list, tuple)):
            return type(value)([self.of_result(item, args, kwargs) for item in value])
        if not isinstance(value, Tensor):
            return value
        known = self.of(value)
        if known is not value:  # changed in place
            if known.shape == value.shape and known.stride() == value.stride():
                return known
        elif not _is_large(value) or _is_among(value, args, kwargs):
            self._known.pop(id(value), None)  # of a tensor that is no more
            return value
        new = _without_elements(value)
        self._known[id(value)] = weakref.ref(value), new
        return new

    def of_tensors(self, tensors: Iterable[Tensor]) -> dict[int, Tensor]:
        """Return what stands for tensors by their ``id``."""
        return {id(tensor): self.of(tensor) for tensor in tensors}


def _is_large(tensor: Tensor) -> bool:
    """Tell whether a tensor is worth a stand-in; rules read no floats, but indices."""
    return (
        tensor.numel() > _SMALL
        and tensor.is_floating_point()
        and type(tensor) is Tensor
        and tensor.layout is torch.strided
    )


def _is_among(tensor: Tensor, args: tuple, kwargs: dict) -> bool:
    for arg in args:
        if arg is tensor:
            return True
    return any(arg is tensor for arg in kwargs.values())


def _without_elements(tensor: Tensor) -> Tensor:
    if tensor.is_contiguous():
        return torch.empty_like(tensor, device="meta")
    return torch.empty_strided(
        tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta"
    )
