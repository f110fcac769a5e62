"""Training of quantized models."""

from .quantize import Quantize

__all__ = ["Quantize"]
