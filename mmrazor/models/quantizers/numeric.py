# As torchao's quant_primitives: pure functions on tensors that modules are built on.
# Rounding is that of ONNX QuantizeLinear, so that an exported model gives the same:
# x / scale is divided, not multiplied by the inverse, and rounded half to even before
# the zero point is added. C channels; O output channels, G groups in each.
"""Real numbers to integers and back, as pure functions of tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .settings import QuantSettings
from .shapes import spread

# Scales are exported as float32: a smaller one would be zero, or lose its digits.
SMALLEST_SCALE = torch.finfo(torch.float32).tiny


def scale_and_zero_point(
    low: Tensor, high: Tensor, settings: QuantSettings
) -> tuple[Tensor, Tensor]:
    """Return the step between integers and the integer that stands for 0.

    The range is widened to hold 0, which is kept exactly: it pads convolutions and is
    what ReLU gives. Arithmetic is in float64; what is returned is rounded once.

    Args:
        low: Least numbers, any shape.
        high: Greatest numbers, of the same shape.
        settings: What the integers are. If symmetric and not signed, numbers below 0
            are clipped, and a range below 0 is one of zeros.

    Returns:
        Scales above 0 (1 for a range of zeros) and zero points, whole numbers; both of
        that shape and of the dtype of ``low``, at least float32.

    Raises:
        ValueError: If the shapes differ, a number is not finite, or ``low`` is above
            ``high``.

    Example:
        >>> low, high = torch.tensor(-1.0), torch.tensor(3.0)
        >>> settings = QuantSettings(bits=2, symmetric=False, signed=False)
        >>> scale_and_zero_point(low, high, settings)
        (tensor(1.3333), tensor(1.))
    """
    if low.shape != high.shape:
        raise ValueError(
            f"low has shape {tuple(low.shape)}, high {tuple(high.shape)}: give one."
        )
    bad = ~(torch.isfinite(low) & torch.isfinite(high) & (low <= high))
    if bad.any():
        ends = float(low[bad][0]), float(high[bad][0])
        raise ValueError(
            f"A range of {ends[0]} to {ends[1]} cannot be quantized: its ends are "
            "finite and in order. Look for NaN and infinity in what was observed."
        )
    dtype = torch.promote_types(low.dtype, torch.float32)
    below = low.detach().double().clamp(max=0)
    above = high.detach().double().clamp(min=0)
    if settings.symmetric:
        reach = torch.maximum(-below, above) if settings.signed else above
        scale = reach / settings.quant_max
    else:
        reach = above - below
        scale = reach / (settings.num_levels - 1)
    scale = scale.clamp(min=SMALLEST_SCALE).masked_fill(reach == 0, 1.0)
    if settings.symmetric:
        return scale.to(dtype), torch.zeros_like(scale, dtype=dtype)
    zero_point = torch.round(settings.quant_min - below / scale)
    zero_point = zero_point.clamp(settings.quant_min, settings.quant_max)
    return scale.to(dtype), zero_point.to(dtype)


def quantized(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    settings: QuantSettings,
    axis: int | None = None,
) -> Tensor:
    """Return the integers of real numbers, as ONNX QuantizeLinear defines them.

    That is ``clamp(round(x / scale) + zero_point, quant_min, quant_max)``.

    Args:
        x: Real numbers, any floating dtype. Half precision is reckoned in float32.
        scale: Steps, shape ``()``, ``(C,)`` for channels or ``(O, G)`` for groups.
        zero_point: Of the same shape.
        settings: What the integers are.
        axis: Axis of the channels, for ``'channel'``; for ``'group'`` that of the
            output channels, 0 if left out.

    Returns:
        Integers in a tensor of the shape and dtype of ``x``.

    Raises:
        ValueError: If the shape of ``scale`` is another than the granularity asks for.

    Example:
        >>> x = torch.tensor([-9.0, 0.5, 1.5, 2.6])
        >>> one, zero = torch.tensor(1.0), torch.tensor(0.0)
        >>> quantized(x, one, zero, QuantSettings(bits=4))
        tensor([-8.,  0.,  2.,  3.])
    """
    scale, zero_point = _spread(x, scale, zero_point, settings, axis)
    steps = _rounded(x, scale, zero_point)
    return steps.clamp_(settings.quant_min, settings.quant_max).to(x.dtype)


def dequantized(
    q: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    axis: int | None = None,
    group_size: int | None = None,
) -> Tensor:
    """Return the real numbers that integers stand for: ``(q - zero_point) * scale``.

    Args:
        q: Integers, in any dtype.
        scale: Steps, as for :func:`quantized`.
        zero_point: Of the same shape.
        axis: Axis of the channels, as there.
        group_size: Weights in a group, where ``scale`` has shape ``(O, G)``.

    Returns:
        Shape of ``q``, dtype of ``scale``.

    Raises:
        ValueError: If the shape of ``scale`` does not fit ``q``.

    Example:
        >>> q = torch.tensor([0, 3], dtype=torch.uint8)
        >>> dequantized(q, torch.tensor(0.5), torch.tensor(1.0))
        tensor([-0.5000,  1.0000])
    """
    kind = {0: "tensor", 1: "channel"}.get(scale.dim(), "group")
    settings = QuantSettings(granularity=kind, group_size=group_size)
    steps = q.to(scale.dtype) - spread(zero_point, q, settings, axis)
    return steps * spread(scale, q, settings, axis)


def fake_quantized(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    settings: QuantSettings,
    axis: int | None = None,
) -> Tensor:
    """Return real numbers rounded to those that have an integer; differentiable.

    The gradient goes straight through where the integer lies in its range, and is 0
    where it was clipped (Bengio et al., 2013, arXiv:1308.3432). For the backward pass,
    one byte is kept for each number.

    Args:
        x: Real numbers, any floating dtype.
        scale: Steps, as for :func:`quantized`; they get no gradient.
        zero_point: Of the same shape.
        settings: What the integers are.
        axis: Axis of the channels, as there.

    Returns:
        Shape and dtype of ``x``.

    Raises:
        ValueError: As there.

    Example:
        >>> x = torch.tensor([0.2, 0.7, 9.0], requires_grad=True)
        >>> step, zero = torch.tensor(0.5), torch.tensor(0.0)
        >>> y = fake_quantized(x, step, zero, QuantSettings(bits=4))
        >>> y.sum().backward()
        >>> y.detach(), x.grad
        (tensor([0.0000, 0.5000, 3.5000]), tensor([1., 1., 0.]))
    """
    scale, zero_point = _spread(x, scale.detach(), zero_point, settings, axis)
    ends = settings.quant_min, settings.quant_max
    result: Tensor = _StraightThrough.apply(x, scale, zero_point, *ends)
    return result


def _spread(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    settings: QuantSettings,
    axis: int | None,
) -> tuple[Tensor, Tensor]:
    """Return both as they broadcast over ``x``, in the dtype to reckon in."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    step = spread(scale.to(dtype), x, settings, axis)
    return step, spread(zero_point.to(dtype), x, settings, axis)


def _rounded(x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    return (x.to(scale.dtype) / scale).round_().add_(zero_point)


class _StraightThrough(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, least: int, most: int
    ) -> Tensor:
        steps = _rounded(x, scale, zero_point)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward((steps >= least) & (steps <= most))
        return steps.clamp_(least, most).sub_(zero_point).mul_(scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside, None, None, None, None
