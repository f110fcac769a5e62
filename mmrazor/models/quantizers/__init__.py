"""Quantizers: fake-quantized Mutables and the pure functions that they are made of."""

from .base import BaseFakeQuantize
from .fake_quantize import FakeQuantize
from .lsq import LearnedStepSize
from .measures import num_bytes, sqnr_db
from .numeric import dequantized, fake_quantized, quantized, scale_and_zero_point
from .observers import (
    EntropyObserver,
    LSQObserver,
    MinMaxObserver,
    MovingAverageObserver,
    MSEObserver,
    Observer,
    PercentileObserver,
    build_observer,
)
from .settings import QuantSettings

__all__ = [
    "BaseFakeQuantize",
    "EntropyObserver",
    "FakeQuantize",
    "LSQObserver",
    "LearnedStepSize",
    "MSEObserver",
    "MinMaxObserver",
    "MovingAverageObserver",
    "Observer",
    "PercentileObserver",
    "QuantSettings",
    "build_observer",
    "dequantized",
    "fake_quantized",
    "num_bytes",
    "quantized",
    "scale_and_zero_point",
    "sqnr_db",
]
