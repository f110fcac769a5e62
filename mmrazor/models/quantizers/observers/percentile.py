"""Ranges that leave out a few numbers at each end."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ....registry import TASK_UTILS
from ..settings import QuantSettings
from .base import Observer
from .histogram import Histogram


@final
@TASK_UTILS.register_module()
class PercentileObserver(Observer):
    """From a low to a high percentile of the numbers seen.

    After Integer Quantization for Deep Learning Inference (Wu et al., 2020,
    arXiv:2004.09602), section 5. The percentile is that of the numbers, not of their
    absolute values, and is known to a bin of a histogram: the bin's outer edge is
    taken, and never one beyond the data.

    Args:
        percentile: Share of the numbers not above the high end, and of those not below
            the low one, in percent; in (50, 100].
        axis: Axis of the channels, see :class:`~.base.Observer`.
        bins: Number of bins.

    Raises:
        ValueError: If the percentile is outside.

    Example:
        >>> observer = PercentileObserver(percentile=90)
        >>> observer(torch.tensor([-3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 99.0]))
        >>> observer.range()
        (tensor(1.), tensor(1.0625))
    """

    statistic: Histogram

    def __init__(
        self, percentile: float = 99.99, axis: int | None = None, bins: int = 2048
    ) -> None:
        if not 50 < percentile <= 100:
            raise ValueError(
                f"percentile={percentile}: it is above 50 and at most 100, such as "
                "99.99."
            )
        super().__init__(Histogram(bins), axis)
        self.percentile = percentile

    def ends(self, settings: QuantSettings) -> tuple[Tensor, Tensor]:
        """Return the percentiles."""
        seen = self.statistic
        up_to = seen.counts.cumsum(1)
        total = up_to[:, -1:]
        # Less a millionth, for what floating point adds to a whole number.
        kept = torch.ceil(total * (self.percentile / 100) - 1e-6).long()
        edges = seen.edges()
        last = torch.searchsorted(up_to, kept)
        first = torch.searchsorted(up_to, total - kept + 1)
        high = edges.gather(1, last + 1)[:, 0].to(seen.high.dtype)
        low = edges.gather(1, first)[:, 0].to(seen.low.dtype)
        return torch.maximum(low, seen.low), torch.minimum(high, seen.high)
