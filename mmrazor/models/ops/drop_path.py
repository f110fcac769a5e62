# FractalNet's drop path (arXiv:1605.07648) as DARTS retrains with: whole paths of an
# image are zero, and the others are scaled up.
"""Drop path."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn


@final
class DropPath(nn.Module):
    """Zero whole images of a batch by chance in training; scale the others up.

    Args:
        prob: Probability of an image to be zero, in [0, 1). It may be set while
            training; DARTS raises it linearly from 0 to 0.2.

    Raises:
        ValueError: If ``prob`` is outside.

    Example:
        >>> import torch
        >>> DropPath(0.5).eval()(torch.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, prob: float = 0.0) -> None:
        super().__init__()
        if not 0 <= prob < 1:
            raise ValueError(f"prob={prob!r} must be from 0 to below 1.")
        self.prob = prob

    def forward(self, value: Tensor) -> Tensor:
        """Return a value of the same shape; the first axis is the batch."""
        if not self.training or not self.prob:
            return value
        keep = 1 - self.prob
        mask = value.new_empty(len(value), *[1] * (value.ndim - 1)).bernoulli_(keep)
        return value * (mask / keep)

    def extra_repr(self) -> str:
        """Show the probability."""
        return f"prob={self.prob}"
