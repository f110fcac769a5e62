"""Ranges whose integers come closest to the numbers, in squared error."""

from __future__ import annotations

from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from ....registry import TASK_UTILS
from ..numeric import fake_quantized, scale_and_zero_point
from ..settings import QuantSettings
from .base import Observer
from .histogram import Histogram


@final
@TASK_UTILS.register_module()
class MSEObserver(Observer):
    """The part of the whole range that quantizes with the least squared error.

    After A White Paper on Neural Network Quantization (Nagel et al., 2021,
    arXiv:2106.08295), section 3.1, by search: both ends are drawn towards 0 in equal
    steps, and the error is that of the centres of a histogram's bins.

    Args:
        axis: Axis of the channels, see :class:`~.base.Observer`.
        bins: Number of bins.
        num_steps: Number of ranges tried.

    Raises:
        ValueError: If no range is tried.
    """

    statistic: Histogram

    def __init__(
        self, axis: int | None = None, bins: int = 2048, num_steps: int = 100
    ) -> None:
        if num_steps < 1:
            raise ValueError(f"num_steps={num_steps}: at least 1 range is tried.")
        super().__init__(Histogram(bins), axis)
        self.num_steps = num_steps

    def ends(self, settings: QuantSettings) -> tuple[Tensor, Tensor]:
        """Return the best range; the widest of equals."""
        seen = self.statistic
        centres, counts = _filled(seen)
        best = torch.full_like(seen.low, torch.inf)
        share = torch.ones_like(seen.low)
        for step in range(self.num_steps, 0, -1):
            part = step / self.num_steps
            range_ = seen.low * part, seen.high * part
            error = squared_error(centres, counts, *range_, settings)
            share = torch.where(error < best, part, share)
            best = torch.minimum(best, error)
        return seen.low * share, seen.high * share


def squared_error(
    values: Tensor, counts: Tensor, low: Tensor, high: Tensor, settings: QuantSettings
) -> Tensor:
    """Return the squared error of quantizing numbers that occur so many times.

    Args:
        values: Numbers, shape ``(C, B)``.
        counts: How many times each occurs.
        low: Least number of the range of each row, shape ``(C,)``.
        high: Greatest number.
        settings: What the integers are; the granularity is not read.

    Returns:
        The sum for each row, shape ``(C,)``.

    Example:
        >>> values, counts = torch.tensor([[0.4, 2.0]]), torch.tensor([[10, 1]])
        >>> ends = torch.tensor([0.0]), torch.tensor([1.0])
        >>> squared_error(values, counts, *ends, QuantSettings(bits=2, signed=True))
        tensor([2.6000])
    """
    by_row = replace(settings, granularity="channel", group_size=None)
    pair = scale_and_zero_point(low, high, by_row)
    rounded = fake_quantized(values, *pair, by_row, axis=0)
    return ((rounded - values).square_() * counts).sum(1)


def _filled(seen: Histogram) -> tuple[Tensor, Tensor]:
    """Return centres and counts of as many bins as the fullest row needs.

    A channel of weights has far fewer numbers than there are bins.
    """
    number = int(seen.counts.count_nonzero(1).max())
    places = seen.counts.topk(number, 1).indices.sort(1).values
    edges = seen.edges()
    centres = ((edges[:, 1:] + edges[:, :-1]) / 2).to(seen.low.dtype)
    return centres.gather(1, places), seen.counts.gather(1, places)
