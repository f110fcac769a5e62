"""Quantizers: fake-quantized Mutables and the pure functions that they are made of."""

from .measures import num_bytes, sqnr_db
from .numeric import (
    dequantized,
    fake_quantized,
    quantized,
    scale_and_zero_point,
)
from .settings import QuantSettings

__all__ = [
    "QuantSettings",
    "dequantized",
    "fake_quantized",
    "num_bytes",
    "quantized",
    "scale_and_zero_point",
    "sqnr_db",
]
