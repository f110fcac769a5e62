"""Post-training methods: what makes a quantized model better without training it."""

from .ada_round import AdaRound
from .base import LayerError, PostTrainingMethod
from .equalization import CrossLayerEqualization
from .gptq import GPTQ

__all__ = [
    "GPTQ",
    "AdaRound",
    "CrossLayerEqualization",
    "LayerError",
    "PostTrainingMethod",
]
