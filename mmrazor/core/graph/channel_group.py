# The unit of pruning: DepGraph (Fang et al., 2023, arXiv:2301.12900) calls it a group
# and lists layers; ours lists slots of parameters, each with the indices of every
# channel, so that flattened, concatenated and head-wise layouts need no special case.
"""Channels that live or die together, and where they sit in the parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from .names import tensor_named

Role = Literal["out", "in", "scale", "shift", "statistic", "other"]


@dataclass(frozen=True, eq=False)
class Slot:
    """Where the channels of a group sit along one axis of one parameter or buffer.

    Args:
        name: Parameter or buffer, such as ``layer1.0.conv1.weight``.
        axis: Axis of the tensor.
        indices: Positions along the axis of every channel, shape ``(C, n)``: all ``n``
            positions of a row live or die together (such as the pixels of a channel
            that was flattened, or the width of an attention head).
        role: ``out`` and ``in`` are the axes of a convolution's or linear layer's
            weight that make and read channels, ``shift`` is a bias, ``scale`` a norm's
            weight, ``statistic`` a buffer, ``other`` a parameter used in another way.
    """

    name: str
    axis: int
    indices: Tensor
    role: Role

    def rows(self, tensor: Tensor) -> Tensor:
        """Return the values of every channel, shape ``(C, n * rest)``.

        Args:
            tensor: The parameter, its gradient, or another tensor of its shape.

        Example:
            >>> import torch
            >>> slot = Slot('w', 1, torch.tensor([[0], [1]]), 'in')
            >>> slot.rows(torch.tensor([[1., 2.], [3., 4.]])).tolist()
            [[1.0, 3.0], [2.0, 4.0]]
        """
        channels, width = self.indices.shape
        index = self.indices.to(tensor.device).flatten()
        picked = tensor.index_select(self.axis, index).movedim(self.axis, 0)
        return picked.reshape(channels, width, -1).flatten(1)


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels that must be kept or dropped alike in all their slots.

    Args:
        name: The place that makes the channels, such as ``layer1.0.conv1.out``.
        size: Number of channels (of heads, or of other coupled sets) to choose from.
        slots: Where they sit.
        model: The model that the slots belong to.
    """

    name: str
    size: int
    slots: tuple[Slot, ...]
    model: nn.Module

    def tensor(self, slot: Slot) -> Tensor:
        """Return the parameter or buffer of a slot as it is now."""
        return tensor_named(self.model, slot.name)

    def modules(self) -> list[str]:
        """Return the names of the modules with a slot in this group, in order."""
        return list(dict.fromkeys(slot.name.rpartition(".")[0] for slot in self.slots))

    def __repr__(self) -> str:
        places = ", ".join(f"{slot.name}[{slot.axis}]" for slot in self.slots)
        return f"ChannelGroup({self.name}, {self.size} channels: {places})"
