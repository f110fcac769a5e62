"""Rank correlation of predictions and what came true."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rho: the correlation of ranks, which equal values share.

    Returns:
        In [-1, 1]; nan if one side has a single value.

    Example:
        >>> spearman([1, 2, 3], [10, 30, 20])
        0.5
    """
    a, b = _centred_ranks(first), _centred_ranks(second)
    spread = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / spread if spread else math.nan


def kendall(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Kendall's tau-b: pairs in the same order less pairs in the opposite one.

    Returns:
        In [-1, 1]; nan if one side has a single value.

    Example:
        >>> round(kendall([1, 2, 3], [10, 30, 20]), 4)
        0.3333
    """
    a, b = (np.sign(np.subtract.outer(x, x)) for x in (first, second))
    spread = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / spread if spread else math.nan


def _centred_ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return np.asarray(ranks - ranks.mean(), dtype=float)
