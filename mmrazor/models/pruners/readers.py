# Group Fisher Pruning (Liu et al., 2021, arXiv:2108.00708) puts its masks on the inputs
# of all layers that read coupled channels. Which inputs those are follows from the
# slots of a group, grouped and depthwise convolutions and flattened maps included.
"""The layers that read the channels of a group, and where in their inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...core.graph.channel_group import ChannelGroup, Slot
from ...core.graph.names import owner_of


class UnreadableError(ValueError):
    """A group whose channels no mask can be put on; the text goes behind its name."""


@dataclass(frozen=True, eq=False)
class Reader:
    """A layer that reads the channels of a group.

    Args:
        module: Its name.
        weight: Name of its weight.
        axis: Of its input that the channels lie along: 1, or -1 for linear layers.
        positions: Of every channel along that axis, shape ``(C, n)``.
    """

    module: str
    weight: str
    axis: int
    positions: Tensor


def reading_slots(group: ChannelGroup) -> list[Slot]:
    """Return the slots of weights that read the channels of a group.

    A depthwise convolution reads the channels that it makes: there it is the slot of
    its outputs.
    """
    return [
        slot
        for slot in group.slots
        if slot.role == "in" or (slot.role == "out" and _is_whole(group, slot))
    ]


def readers_of(group: ChannelGroup) -> list[Reader]:
    """Return the layers that read the channels of a group.

    Raises:
        UnreadableError: If there is none, or one is no convolution or linear layer.
    """
    slots = reading_slots(group)
    if not slots:
        raise UnreadableError("is read by no convolution or linear layer")
    return [_reader(group, slot) for slot in slots]


def _reader(group: ChannelGroup, slot: Slot) -> Reader:
    path, leaf = owner_of(slot.name)
    module = group.model.get_submodule(path)
    axis = _channel_axis(module)
    if axis is None or leaf != "weight":
        raise UnreadableError(
            f"is read by '{slot.name}' of a {type(module).__name__}, which no mask can "
            "be put before: that takes a convolution or a linear layer"
        )
    positions = slot.indices
    groups = int(getattr(module, "groups", 1))
    if slot.role == "out":  # whole groups of a convolution, by their outputs
        per_output = group.tensor(slot).shape[0] // groups
        inside = torch.arange(group.tensor(slot).shape[1])
        first = positions.sort(1).values[:, ::per_output] // per_output
        positions = (first[..., None] * len(inside) + inside).flatten(1)
    elif slot.axis == 1 and groups > 1:  # the same place in every group
        starts = torch.arange(groups) * group.tensor(slot).shape[1]
        positions = (positions[:, None] + starts[:, None]).flatten(1)
    return Reader(path, slot.name, axis, positions)


def _channel_axis(module: nn.Module) -> int | None:
    if isinstance(module, nn.Linear):
        return -1
    if isinstance(module, nn.modules.conv._ConvNd):
        return 1
    # deformable convolutions of mmcv and torchvision are no subclasses
    weight = getattr(module, "weight", None)
    channels = getattr(module, "in_channels", None)
    if not isinstance(weight, Tensor) or weight.dim() < 3 or channels is None:
        return None
    return 1 if weight.shape[1] * getattr(module, "groups", 1) == channels else None


def _is_whole(group: ChannelGroup, slot: Slot) -> bool:
    """Tell whether rows of a weight are all outputs of some groups of a convolution."""
    path, leaf = owner_of(slot.name)
    module = group.model.get_submodule(path)
    groups = int(getattr(module, "groups", 1))
    if groups == 1 or leaf != "weight" or slot.axis or _channel_axis(module) != 1:
        return False
    per_group = group.tensor(slot).shape[0] // groups
    of_group = slot.indices.sort(1).values // per_group
    if of_group.shape[1] % per_group:
        return False
    blocks = of_group.reshape(len(of_group), -1, per_group)
    return bool((blocks == blocks[..., :1]).all())
