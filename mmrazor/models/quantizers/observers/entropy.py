# The search of TensorRT's calibration (Migacz, 8-bit Inference with TensorRT, GTC
# 2017), which goes through all thresholds and compares two histograms for each. Here,
# sums over the bins of a group are differences of running sums: all thresholds at once.
"""Ranges whose integers keep the most of the distribution of the numbers."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from torch import Tensor

from ....registry import TASK_UTILS
from ..settings import QuantSettings
from .base import Observer
from .histogram import Histogram


@final
@TASK_UTILS.register_module()
class EntropyObserver(Observer):
    """The range with the least divergence of the quantized distribution.

    TensorRT's entropy calibration, see :func:`kept_bins`, on a histogram of absolute
    values. The bin next to 0 counts as much as its neighbour, as in NVIDIA's
    pytorch-quantization: the zeros of a ReLU are kept exactly by every range.

    Args:
        axis: Axis of the channels, see :class:`~.base.Observer`.
        bins: Number of bins.
    """

    statistic: Histogram

    def __init__(self, axis: int | None = None, bins: int = 2048) -> None:
        super().__init__(Histogram(bins), axis)

    def ends(self, settings: QuantSettings) -> tuple[Tensor, Tensor]:
        """Return the ends of the data, clipped at the best threshold."""
        seen = self.statistic
        grid = seen.grid()
        places = grid.first[:, None] + torch.arange(seen.bins, device=grid.first.device)
        distance = torch.where(places < 0, -places - 1, places)
        distance = distance.clamp(max=seen.bins - 1)
        counts = torch.zeros_like(seen.counts).scatter_add_(1, distance, seen.counts)
        counts[:, 0] = counts[:, 1]
        num_kept = [
            kept_bins(row, self._num_levels(settings, bool(low < 0 < high)))
            for row, low, high in zip(
                counts.cpu().numpy(), seen.low, seen.high, strict=True
            )
        ]
        threshold = grid.width() * torch.tensor(num_kept, device=seen.low.device)
        threshold = threshold.to(seen.low.dtype)
        return (
            torch.maximum(seen.low, -threshold),
            torch.minimum(seen.high, threshold),
        )

    def _num_levels(self, settings: QuantSettings, both_sides: bool) -> int:
        """Return the number of integers for absolute values."""
        if settings.symmetric:
            return settings.quant_max + 1
        return settings.num_levels // 2 if both_sides else settings.num_levels


def kept_bins(counts: np.ndarray, num_levels: int) -> int:
    """Return how many bins to keep so that few levels tell the most of a histogram.

    With ``i`` bins kept, the reference ``P`` is the first ``i`` counts, those beyond
    added to the last. ``Q`` are the first ``i`` counts with each of ``num_levels``
    groups of neighbours averaged over its bins that are not empty. The ``i`` with the
    least Kullback-Leibler divergence of ``P`` from ``Q`` wins, and the smallest of
    equals. It is infinite where bin ``i`` is empty and something lies beyond.

    Args:
        counts: Of absolute values, shape ``(B,)``.
        num_levels: Integers that stand for absolute values.

    Returns:
        From ``num_levels`` to the number of bins up to the last that is not empty,
        or that number if it is smaller.

    Example:
        >>> kept_bins(np.array([9, 8, 8, 7, 0, 0, 0, 1]), 4)
        4
    """
    filled = np.flatnonzero(counts)
    last = int(filled[-1]) + 1 if len(filled) else len(counts)
    if last <= num_levels or not len(filled):
        return last
    count = counts[:last].astype(np.float64)
    sums, numbers = _running(count), _running(count > 0)
    kept = np.arange(num_levels, last + 1)
    starts = -(-np.arange(num_levels + 1) * kept[:, None] // num_levels)
    group_sum, group_size = (np.diff(run[starts]) for run in (sums, numbers))
    log_mean = _log(group_sum / np.maximum(group_size, 1))
    inside, end = sums[kept], count[kept - 1]
    beyond = sums[-1] - inside
    log_p = _running(count * _log(count))[kept - 1]
    log_p += (end + beyond) * _log(end + beyond)
    log_q = (group_sum * log_mean).sum(1) + beyond * log_mean[:, -1]
    divergence = (log_p - log_q) / sums[-1] - _log(sums[-1]) + _log(inside)
    divergence[(end == 0) & (beyond > 0)] = np.inf
    return int(kept[np.argmin(divergence)])


def _running(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(values)])


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(np.where(values > 0, values, 1))
