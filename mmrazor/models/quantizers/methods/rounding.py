# As in AIMET and BRECQ, the parameter starts where the soft weight is the float weight.
"""Rounding up or down as something that can be learned.

Up or Down? Adaptive Rounding for Post-Training Quantization (Nagel et al., 2020,
arXiv:2004.10568), section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..settings import QuantSettings

_LOW, _HIGH = -0.1, 1.1  # ends that the sigmoid is stretched to


def rectified_sigmoid(v: Tensor) -> Tensor:
    """Return ``clamp(1.2 * sigmoid(v) - 0.1, 0, 1)``, equation 23 of the paper.

    Example:
        >>> rectified_sigmoid(torch.tensor([-9.0, 0.0, 9.0]))
        tensor([0.0000, 0.5000, 1.0000])
    """
    return (torch.sigmoid(v) * (_HIGH - _LOW) + _LOW).clamp(0, 1)


class SoftRounding(nn.Module):
    """A weight between its two neighbours on the grid, each element with a parameter.

    Args:
        weight: The float weight.
        scale: Step of each element.
        zero_point: Zero point of each element.
        settings: What the integers are.

    Example:
        >>> one, zero = torch.ones(2), torch.zeros(2)
        >>> soft = SoftRounding(torch.tensor([0.3, 2.6]), one, zero, QuantSettings(4))
        >>> soft().detach(), soft.integers()
        (tensor([0.3000, 2.6000]), tensor([0., 3.]))
    """

    floor: Tensor
    scale: Tensor
    zero_point: Tensor

    def __init__(
        self, weight: Tensor, scale: Tensor, zero_point: Tensor, settings: QuantSettings
    ) -> None:
        super().__init__()
        self.settings = settings
        steps = weight.detach() / scale
        self.register_buffer("floor", steps.floor())
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", zero_point)
        ratio = (_HIGH - _LOW) / (steps - self.floor - _LOW) - 1
        self.v = nn.Parameter(-torch.log(ratio))

    def forward(self, weight: Tensor | None = None) -> Tensor:
        """Return the weight between; that which it is called with is not used."""
        steps = self._clamped(rectified_sigmoid(self.v))
        return (steps - self.zero_point) * self.scale

    def penalty(self, beta: float) -> Tensor:
        """Return how far the elements are from the grid: 0 if all are on it."""
        h = rectified_sigmoid(self.v)
        return (1 - (2 * h - 1).abs().pow(beta)).sum()

    @torch.no_grad()
    def integers(self) -> Tensor:
        """Return the integers on the nearer sides."""
        return self._clamped((self.v >= 0).to(self.floor))

    @torch.no_grad()
    def settle_(self) -> None:
        """Put each element on its nearer side, so that the weight is on the grid."""
        self.v.copy_(torch.where(self.v >= 0, 9.0, -9.0))

    def _clamped(self, up: Tensor) -> Tensor:
        steps = self.floor + up + self.zero_point
        return steps.clamp(self.settings.quant_min, self.settings.quant_max)


@dataclass(frozen=True)
class Learning:
    """How roundings are learned.

    Args:
        iterations: Steps of Adam.
        lr: Its learning rate for roundings.
        strength: Of the regulariser that pulls to the grid, for a loss that is 1 with
            weights rounded to nearest.
        warmup: Share of the steps without it.
        beta: Its exponent in the first and the last step after the warm-up; a large one
            leaves elements free until they are close to the grid.

    Raises:
        ValueError: If one of them is out of its range.
    """

    iterations: int = 10_000
    lr: float = 1e-2
    strength: float = 0.1
    warmup: float = 0.2
    beta: tuple[float, float] = (20.0, 2.0)

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.lr <= 0 or self.strength < 0:
            raise ValueError(
                f"{self}: iterations are at least 1, lr is above 0 and strength not "
                "below. Try 10000, 0.01 and 0.1."
            )
        if not 0 <= self.warmup < 1 or min(self.beta) <= 0:
            raise ValueError(
                f"{self}: warmup is a share of the iterations in [0, 1) and beta two "
                "numbers above 0. The paper's are 0.2 and (20, 2)."
            )

    def beta_at(self, step: int) -> float | None:
        """Return the exponent in a step, None in the warm-up.

        Example:
            >>> learning = Learning(iterations=100)
            >>> learning.beta_at(19), learning.beta_at(20), learning.beta_at(60)
            (None, 20.0, 11.0)
        """
        begin = self.warmup * self.iterations
        if step < begin:
            return None
        first, last = self.beta
        share = (step - begin) / (self.iterations - begin)
        return last + (first - last) * (1 + math.cos(share * math.pi)) / 2


def learn_(
    roundings: Sequence[SoftRounding],
    loss: Callable[[], Tensor],
    learning: Learning,
    others: Iterable[dict[str, Any]] = (),
) -> None:
    """Learn roundings, in place.

    Args:
        roundings: What is learned.
        loss: Returns the error of what is computed with them, of another part of the
            data each time.
        learning: How.
        others: Groups of parameters with their learning rates, learned along.
    """
    parameters = [rounding.v for rounding in roundings]
    groups = [dict(params=parameters, lr=learning.lr), *others]
    optimizer = torch.optim.Adam(groups)
    for step in range(learning.iterations):
        total = loss()
        beta = learning.beta_at(step)
        if beta is not None:
            pull = torch.stack([rounding.penalty(beta) for rounding in roundings])
            total = total + learning.strength * pull.sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
