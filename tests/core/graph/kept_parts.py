"""Where the tensors of a slimmed model sit in the full ones."""

from __future__ import annotations

import torch
from torch import Tensor

from mmrazor.core.graph import Cuts


def parts_of(cuts: Cuts, name: str, tensor: Tensor) -> tuple[Tensor, ...]:
    """Return indices that pick what cuts keep of a tensor."""
    axes = cuts.slots.get(name, {})
    lines = [torch.arange(size) for size in tensor.shape]
    for axis, kept in axes.items():
        lines[axis] = torch.tensor(kept)
    return torch.meshgrid(*lines, indexing="ij")
