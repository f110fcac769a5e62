# Bins are as wide as a power of two and begin at whole multiples of their width. So
# bins of two widths fit into each other exactly: a histogram that grows, and those of
# several processes put together, are what one look at all data would have given.
# torch's HistogramObserver spreads the counts of old bins evenly over new ones instead.
#
# C channels, N numbers of each, B bins.
"""A histogram of numbers whose range is not known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from .statistic import Statistic

_LEAST_EXPONENT = -126  # that of the smallest normal float32


class Grid(NamedTuple):
    """Bins of each row: ``2**exponent`` wide, the first at ``first`` such widths."""

    exponent: Tensor
    first: Tensor

    def width(self) -> Tensor:
        """Return the width of the bins of each row, shape ``(C,)``, float64."""
        return _power_of_two(self.exponent)


@final
class Histogram(Statistic):
    """Counts of numbers in bins of equal width, for each row on its own.

    The range covered is that of the data and 0; it uses more than half of the bins, as
    many as fit.

    Args:
        bins: Number of bins, at least 2.

    Raises:
        ValueError: If there are fewer bins.

    Example:
        >>> histogram = Histogram(bins=4)
        >>> for number in (0.5, 1.0, -2.0, 5.0):
        ...     row = torch.tensor([[number]])
        ...     histogram.add_(row, row[:, 0], row[:, 0])
        >>> histogram.grid().width(), histogram.counts
        (tensor([2.], dtype=torch.float64), tensor([[1, 2, 0, 1]]))
    """

    low: Tensor
    high: Tensor
    counts: Tensor

    def __init__(self, bins: int = 2048) -> None:
        super().__init__()
        if bins < 2:
            raise ValueError(f"bins={bins} is no number of bins; give 2 or more.")
        self.bins = bins
        self.register_buffer("low", torch.zeros(0))
        self.register_buffer("high", torch.zeros(0))
        self.register_buffer("counts", torch.zeros(0, bins, dtype=torch.long))

    def add_(self, rows_CN: Tensor, low_C: Tensor, high_C: Tensor) -> None:
        """Count numbers; the bins are widened if they lie outside."""
        counts = counted(rows_CN, grid_of(low_C, high_C, self.bins), self.bins)
        seen = {"low": low_C, "high": high_C, "counts": counts}
        old = dict(self.named_buffers())
        self.put_(self.merged([old, seen]) if self.is_filled() else seen)

    def merged(self, states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the sum of histograms, over bins wide enough for all."""
        low = torch.stack([state["low"] for state in states]).amin(0)
        high = torch.stack([state["high"] for state in states]).amax(0)
        wide = grid_of(low, high, self.bins)
        ends = [(state["low"], state["high"]) for state in states]
        counts = [
            moved(state["counts"], grid_of(*pair, self.bins), wide)
            for state, pair in zip(states, ends, strict=True)
        ]
        return {"low": low, "high": high, "counts": torch.stack(counts).sum(0)}

    def grid(self) -> Grid:
        """Return where the bins lie."""
        return grid_of(self.low, self.high, self.bins)

    def edges(self) -> Tensor:
        """Return the edges of the bins, shape ``(C, B + 1)``, float64."""
        grid = self.grid()
        places = torch.arange(self.bins + 1, device=grid.first.device)
        return (grid.first[:, None] + places) * grid.width()[:, None]


def grid_of(low: Tensor, high: Tensor, bins: int) -> Grid:
    """Return the narrowest bins that cover a range and 0, for each row.

    Args:
        low: Least number of each row, shape ``(C,)``.
        high: Greatest number.
        bins: How many there are.
    """
    low, high = low.double().clamp(max=0), high.double().clamp(min=0)
    exponent = torch.frexp((high - low) / bins).exponent.long() - 1
    exponent = exponent.clamp(min=_LEAST_EXPONENT)
    for _ in range(2):
        width = _power_of_two(exponent)
        used = torch.floor(high / width) - torch.floor(low / width) + 1
        exponent = torch.where(used > bins, exponent + 1, exponent)
    return Grid(exponent, torch.floor(low / _power_of_two(exponent)).long())


def counted(rows: Tensor, grid: Grid, bins: int) -> Tensor:
    """Return how many numbers of each row lie in each bin, shape ``(C, B)``."""
    width = grid.width().to(rows.dtype)
    places = torch.floor(rows / width[:, None]).long().sub_(grid.first[:, None])
    places += torch.arange(len(rows), device=rows.device)[:, None] * bins
    return torch.bincount(places.flatten(), minlength=len(rows) * bins).view(-1, bins)


def moved(counts: Tensor, old: Grid, new: Grid) -> Tensor:
    """Return counts in other bins, which cover the old ones and are no narrower."""
    places = old.first[:, None] + torch.arange(counts.shape[1], device=counts.device)
    places = (places >> (new.exponent - old.exponent)[:, None]) - new.first[:, None]
    # What falls outside lies beyond the data: there, the counts are 0.
    places = places.clamp(0, counts.shape[1] - 1)
    return torch.zeros_like(counts).scatter_add_(1, places, counts)


def _power_of_two(exponent: Tensor) -> Tensor:
    """Return the powers in float64, from their bits: torch's are rounded in float32."""
    return ((exponent + 1023) << 52).view(torch.float64)
