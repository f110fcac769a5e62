# O output channels, N elements of each, G groups of them, C channels.
"""Which elements of a tensor share a scale: its shape, its spread and its groups."""

from __future__ import annotations

import torch
from torch import Size, Tensor

from .settings import QuantSettings


def spread(
    values: Tensor, x: Tensor, settings: QuantSettings, axis: int | None = None
) -> Tensor:
    """Return values of scales in a shape that broadcasts over a tensor.

    Args:
        values: One for each scale: shape ``()``, ``(C,)`` or ``(O, G)``.
        x: The tensor they belong to; of it, the shape is read.
        settings: Says the granularity and the size of groups.
        axis: As for :func:`~.numeric.quantized`.

    Raises:
        ValueError: If the shape of ``values`` is another than the granularity asks for.

    Example:
        >>> settings = QuantSettings(granularity='group', group_size=2)
        >>> spread(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 3), settings)
        tensor([[1., 1., 2.]])
    """
    shape = scale_shape(x, settings, axis)
    if values.shape != shape:
        raise ValueError(
            f"Scales of shape {tuple(values.shape)} do not fit a tensor of shape "
            f"{tuple(x.shape)}: with granularity={settings.granularity!r} and "
            f"axis={axis} it has scales of shape {tuple(shape)}."
        )
    if not shape:
        return values
    place = _channel_axis(x, axis)
    if settings.granularity == "channel":
        return values.view([-1 if i == place else 1 for i in range(x.dim())])
    moved = x.movedim(place, 0)
    each = values.repeat_interleave(settings.group_size or 1, dim=1)
    return each[:, : moved[0].numel()].reshape(moved.shape).movedim(0, place)


def scale_shape(x: Tensor, settings: QuantSettings, axis: int | None = None) -> Size:
    """Return the shape of the scales of a tensor.

    Args:
        x: The tensor; of it, the shape is read.
        settings: Says the granularity and the size of groups.
        axis: As for :func:`~.numeric.quantized`.

    Raises:
        ValueError: If the tensor has no such axis.

    Example:
        >>> weight = torch.zeros(8, 3, 5, 5)
        >>> scale_shape(weight, QuantSettings(granularity='group', group_size=32))
        torch.Size([8, 3])
    """
    if settings.granularity == "tensor":
        return Size()
    if settings.granularity == "channel" and axis is None:
        raise ValueError("Scales of channels need axis, that of the channels.")
    num_channels = x.shape[_channel_axis(x, axis)]
    if settings.granularity == "channel":
        return Size([num_channels])
    per_channel = x.numel() // max(num_channels, 1)
    return Size([num_channels, -(-per_channel // (settings.group_size or 1))])


def grouped(x: Tensor, group_size: int, axis: int | None = None) -> Tensor:
    """Return the groups of a weight as rows, to observe each of them.

    A short last group is filled by its own elements over again, which leaves its ends
    as they are.

    Args:
        x: Weight, shape ``(O, ...)`` if ``axis`` is 0.
        group_size: Weights in a group.
        axis: Axis of the output channels, 0 if left out.

    Returns:
        Shape ``(O * G, group_size)``, a channel's groups one after the other.

    Example:
        >>> grouped(torch.tensor([[1.0, 2.0, 3.0]]), 2)
        tensor([[1., 2.],
                [3., 3.]])
    """
    flat_ON = x.movedim(_channel_axis(x, axis), 0).flatten(1)
    start = flat_ON.shape[1] // group_size * group_size
    rest = flat_ON[:, start:]
    if rest.shape[1]:
        again = rest.repeat(1, -(-group_size // rest.shape[1]))[:, :group_size]
        flat_ON = torch.cat([flat_ON[:, :start], again], 1)
    return flat_ON.reshape(-1, group_size)


def _channel_axis(x: Tensor, axis: int | None) -> int:
    place = 0 if axis is None else axis
    if not -x.dim() <= place < x.dim():
        raise ValueError(
            f"A tensor of shape {tuple(x.shape)} has no axis {place}, where its "
            "channels were said to be."
        )
    return place % x.dim()
