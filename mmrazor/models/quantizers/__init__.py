"""Quantizers: fake-quantized Mutables and the pure functions that they are made of."""

from .backends import BACKENDS, Backend
from .base import BaseFakeQuantize
from .bit_search import ChosenBits
from .bit_sensitivity import BitSensitivity, bit_sensitivity
from .bit_space import BitSpace
from .calibration import CalibrationError, calibrate_
from .fake_quantize import FakeQuantize
from .lsq import LearnedStepSize
from .measures import num_bytes, sqnr_db
from .methods import (
    GPTQ,
    AdaRound,
    BiasCorrection,
    BlockReconstruction,
    CrossLayerEqualization,
    LayerError,
    MixedPrecision,
    PostTrainingMethod,
)
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
from .quantized_model import QuantizedModel
from .quantizer import NothingQuantizedError, Quantizer, quantizer_of
from .report import LayerReport, QuantReport, quant_report
from .settings import QuantSettings
from .sites import Site
from .steps import QuantizedRunError

__all__ = [
    "BACKENDS",
    "GPTQ",
    "AdaRound",
    "Backend",
    "BaseFakeQuantize",
    "BiasCorrection",
    "BitSensitivity",
    "BitSpace",
    "BlockReconstruction",
    "CalibrationError",
    "ChosenBits",
    "CrossLayerEqualization",
    "EntropyObserver",
    "FakeQuantize",
    "LSQObserver",
    "LayerError",
    "LayerReport",
    "LearnedStepSize",
    "MSEObserver",
    "MinMaxObserver",
    "MixedPrecision",
    "MovingAverageObserver",
    "NothingQuantizedError",
    "Observer",
    "PercentileObserver",
    "PostTrainingMethod",
    "QuantReport",
    "QuantSettings",
    "QuantizedModel",
    "QuantizedRunError",
    "Quantizer",
    "Site",
    "bit_sensitivity",
    "build_observer",
    "calibrate_",
    "dequantized",
    "fake_quantized",
    "num_bytes",
    "quant_report",
    "quantized",
    "quantizer_of",
    "scale_and_zero_point",
    "sqnr_db",
]
