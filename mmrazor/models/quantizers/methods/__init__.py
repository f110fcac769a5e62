"""Post-training methods: what makes a quantized model better without training it."""

from .ada_round import AdaRound
from .base import LayerError, PostTrainingMethod
from .bias_correction import BiasCorrection
from .block_reconstruction import BlockReconstruction
from .equalization import CrossLayerEqualization
from .gptq import GPTQ
from .mixed_precision import MixedPrecision

__all__ = [
    "GPTQ",
    "AdaRound",
    "BiasCorrection",
    "BlockReconstruction",
    "CrossLayerEqualization",
    "LayerError",
    "MixedPrecision",
    "PostTrainingMethod",
]
