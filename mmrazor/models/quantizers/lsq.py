# The gradient is written out in an autograd.Function: as a sum of torch's operations
# it would keep five tensors of the size of the activation. The factor of the gradient
# is part of it, so that the loss needs no detached terms.
"""Rounding whose step is a parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn
from torch.autograd import Function

from ...registry import MODELS
from .base import BaseFakeQuantize
from .numeric import SMALLEST_SCALE
from .observers import LSQObserver, Observer
from .settings import QuantSettings
from .shapes import spread


@final
@MODELS.register_module()
class LearnedStepSize(BaseFakeQuantize):
    """Round with a step that is trained with the weights.

    Learned Step Size Quantization (Esser et al., 2020, arXiv:1902.08153). The gradient
    of the step is equation 3, times ``1 / sqrt(N * quant_max)`` (section 2.2) with
    ``N`` the numbers that share the step: of a weight all of them, of an activation
    those of one image. The zero point stays where the observer put it.

    A step that its updates carry below 0 stands for its size, with the gradient turned
    round. Nothing else keeps steps near what they were: in 8 bits they are small, and
    the paper trains them at a tenth of the rate of fewer bits (0.001 for 0.01).

    Without calibration, a single process begins with the first tensor of a training.
    Steps of channels and groups get their number with their range: calibrate before an
    optimizer or a distributed wrapper is made. Once there is a range, a step that is
    in use follows its gradient only, not the observer.

    Args:
        settings: As for :class:`~.base.BaseFakeQuantize`.
        axis: As there: None says that the tensor is an activation.
        observer: What gives the range to begin with; by default that of the paper.
        bits: As there; each has a step of its own.
        name: As there.
        init_cfg: As there.

    Raises:
        ValueError: As there, or if the settings are not symmetric and the observer is
            that of the paper, which finds no zero point.

    Example:
        >>> quantizer = LearnedStepSize(dict(bits=2, narrow=True))
        >>> x = torch.tensor([[0.5, -0.5, 2.0, 0.0]])
        >>> quantizer(x).detach(), float(quantizer.scale)  # the step is 2 * 0.75
        (tensor([[0.0000, 0.0000, 1.5000, 0.0000]]), 1.5)
        >>> quantizer(x).sum().backward()  # (0 - 1/3) + (0 + 1/3) + 1 + 0, times 1/2
        >>> quantizer.scales.grad
        tensor([0.5000])
    """

    def __init__(
        self,
        settings: QuantSettings | Mapping[str, Any],
        axis: int | None = None,
        observer: Mapping[str, Any] | Observer | str = "LSQObserver",
        bits: Sequence[int] = (),
        name: str | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(settings, axis, observer, bits, name, init_cfg)
        if isinstance(self.observer, LSQObserver):
            self.observer.check(self.settings_now)
        self.scales = nn.Parameter(torch.ones(len(self._settings)))
        self._squares: Tensor | None = None

    def observe_end_(self, forget: bool = True) -> None:
        """Take the first steps; from then on they are trained, and nobody observes."""
        super().observe_end_()

    def rounded(self, x: Tensor) -> Tensor:
        """Return the nearest numbers that have an integer."""
        settings = self.settings_now
        raw, zero_point = self._now("scales"), self.zero_point
        if self.axis is not None:
            sharing = x.numel() / raw.numel()
        else:
            sharing = x.numel() / (x.shape[0] if x.dim() else 1) / raw.numel()
        factor: float | Tensor = (sharing * settings.quant_max) ** -0.5
        dtype = torch.promote_types(x.dtype, torch.float32)
        pair = [spread(v.to(dtype), x, settings, self.axis) for v in (raw, zero_point)]
        ends = settings.quant_min, settings.quant_max
        if self._squares is not None:
            shared = self._squares.expand_as(x).sum_to_size(pair[0].shape)
            factor = factor * shared * (shared.numel() / x.numel())
        result: Tensor = _LearnedStep.apply(x, *pair, *ends, factor)
        return result

    def as_folded(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Round as there, with steps that learn as those of the weight itself would.

        A step of what was multiplied by ``f`` is ``f`` times that of the weight: its
        gradient is taken times ``f ** 2``, averaged over the channels that share it.
        """
        self._squares = factor.detach().square()
        try:
            return super().as_folded(weight, factor)
        finally:
            self._squares = None

    @property
    def scale(self) -> Tensor:
        """Step between integers; a parameter that fell below 0 stands for its size."""
        return self._now("scales").detach().abs().clamp(min=SMALLEST_SCALE)

    @property
    def low(self) -> Tensor:
        """Least number that has an integer."""
        return (self.settings_now.quant_min - self.zero_point) * self.scale

    @property
    def high(self) -> Tensor:
        """Greatest number that has an integer."""
        return (self.settings_now.quant_max - self.zero_point) * self.scale

    def _observes(self) -> bool:
        return self.observing and not (self.quantizing and self.ready)

    def _begin_(self, x: Tensor) -> None:
        if not self.training or get_world_size() > 1:
            # Processes would begin with steps of their own and never agree.
            super()._begin_(x)
        self._observe_(x)
        self.observe_end_()


class _LearnedStep(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        zero_point: Tensor,
        least: int,
        most: int,
        factor: float | Tensor,
    ) -> Tensor:
        step = scale.abs().clamp(min=SMALLEST_SCALE)
        ctx.save_for_backward(x, step, zero_point, scale < 0)
        ctx.settings = least, most, factor
        steps = (x.to(step.dtype) / step).round_().add_(zero_point)
        return steps.clamp_(least, most).sub_(zero_point).mul_(step).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, step, zero_point, mirrored = ctx.saved_tensors
        least, most, factor = ctx.settings
        ratio = x.to(step.dtype) / step
        least, most = least - zero_point, most - zero_point
        inside = (ratio > least) & (ratio < most)
        nearest = ratio.round()
        slope = torch.where(inside, nearest - ratio, nearest.clamp(least, most))
        grad_step = (grads[0] * slope).sum_to_size(step.shape) * factor
        grad_step = torch.where(mirrored, -grad_step, grad_step)
        return grads[0] * inside, grad_step, None, None, None, None
