"""Observers: what range of numbers is worth keeping, from the data they see."""

from .base import Observer
from .build import build_observer, observer_for
from .entropy import EntropyObserver, kept_bins
from .lsq import LSQObserver
from .min_max import MinMaxObserver, MovingAverageObserver
from .mse import MSEObserver
from .percentile import PercentileObserver

__all__ = [
    "EntropyObserver",
    "LSQObserver",
    "MSEObserver",
    "MinMaxObserver",
    "MovingAverageObserver",
    "Observer",
    "PercentileObserver",
    "build_observer",
    "kept_bins",
    "observer_for",
]
