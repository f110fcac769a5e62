# QAT (Jacob et al., 2018, arXiv:1712.05877) and LSQ (Esser et al., 2020,
# arXiv:1902.08153) are one algorithm with two kinds of quantizers: the step of the
# Algorithm is all they need. When ranges are found and fixed is a matter of hooks.
"""Train a model with the roundings that integers bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from ....registry import MODELS
from ..base import Algorithm


@final
@MODELS.register_module()
class Quantize(Algorithm):
    """Train an Architecture as a backend will compute it, or test one.

    - :class:`~mmrazor.core.hooks.CalibrateHook` finds the ranges on training batches
      before the first step; ranges that a checkpoint brought are kept.
    - :class:`~mmrazor.core.hooks.QuantScheduleHook` lets ranges follow the training and
      says when they, and batch norms, are frozen.
    - Steps of :class:`~mmrazor.models.quantizers.LearnedStepSize` are trained with the
      weights, without weight decay.

    Validation, averaged weights and checkpoints are those of the quantized model.

    Args:
        architecture: As for :class:`~..base.Algorithm`, with its float weights.
        quantizer: Config of the :class:`~mmrazor.models.quantizers.Quantizer`; what it
            leaves out is that of ONNX Runtime in 8 bits.
        **parts: As there: ``teacher`` and ``distiller``, ``data_preprocessor``, ...

    Raises:
        NothingQuantizedError: If there is nothing to quantize; the text says why.
        ValueError: As there, or if a setting is wrong or the backend does not take it.
    """

    def __init__(
        self,
        architecture: Any,
        quantizer: Mapping[str, Any] | None = None,
        **parts: Any,
    ) -> None:
        super().__init__(architecture, quantizer=dict(quantizer or {}), **parts)
