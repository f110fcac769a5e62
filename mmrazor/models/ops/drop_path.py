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
        prob: Probability of an image to be zero, in [0, 1), from the beginning of
            training or, with :meth:`anneal_`, at its end.

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
        self._share = 1.0

    def anneal_(self, share: float) -> None:
        """Raise the probability linearly from 0, as DARTS does.

        Args:
            share: Part of the training that is done, in [0, 1].
        """
        self._share = share

    def forward(self, value: Tensor) -> Tensor:
        """Return a value of the same shape; the first axis is the batch."""
        keep = 1 - self.prob * self._share
        if not self.training or keep == 1:
            return value
        mask = value.new_empty(len(value), *[1] * (value.ndim - 1)).bernoulli_(keep)
        return value * (mask / keep)

    def extra_repr(self) -> str:
        """Show the probability."""
        return f"prob={self.prob}"
