"""Post-training methods: what makes a quantized model better without training it."""

from .base import LayerError, PostTrainingMethod
from .gptq import GPTQ

__all__ = ["GPTQ", "LayerError", "PostTrainingMethod"]
