"""Find the ranges of a quantized model on data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from torch import nn

from ...core.forward import call_model, evaluating
from .base import BaseFakeQuantize
from .quantizer import Quantizer
from .steps import QuantizedRunError


class CalibrationError(ValueError):
    """Data that a model cannot be calibrated on."""


def calibrate_(
    model: nn.Module,
    quantizer: Quantizer,
    batches: Iterable[Any],
    run: Callable[[nn.Module, Any], Any] = call_model,
    advance: Callable[[], None] = lambda: None,
    forget: bool = True,
) -> None:
    """Find the ranges on data in float, and quantize from then on.

    What the data never reach stays in float, with a warning that names it.

    Args:
        model: The model.
        quantizer: Prepared for it.
        batches: What to run it on.
        run: Runs the model on a batch.
        advance: Called after each batch.
        forget: As for :meth:`~.base.BaseFakeQuantize.observe_end_`.

    Raises:
        CalibrationError: If there is no batch, or it is not what the model takes.
        QuantizedRunError: If the run fails, as where there is NaN or infinity; the
            text names the place.
    """
    quantizer.mode_(observing=True, quantizing=False)
    number = 0
    with evaluating(model):
        for number, batch in enumerate(batches, 1):
            try:
                run(model, batch)
            except (RuntimeError, TypeError, ValueError) as err:
                broken = isinstance(err, RuntimeError)
                kind = QuantizedRunError if broken else CalibrationError
                raise kind(f"Calibration stopped in batch {number}: {err}") from err
            if number == 1:
                _end_weights_(quantizer, forget)
            advance()
    if not number:
        raise CalibrationError(
            "There is nothing to calibrate on: the batches are empty. Give some tens "
            "of images such as the model will see."
        )
    unseen = {part: _unseen(quantizer, part) for part in ("weights", "activations")}
    if any(unseen.values()):
        sites = quantizer.drop_(unseen)
        print_log(
            "The calibration data never get to these places, which stay in float: "
            f"{', '.join(map(str, sites))}.",
            logger="current",
            level=logging.WARNING,
        )
    for module in quantizer.quantizers():
        if module.observing:
            module.observe_end_(forget)
    quantizer.mode_(observing=False, quantizing=True)


def _end_weights_(quantizer: Quantizer, forget: bool) -> None:
    """Take the ranges of the weights that were seen: they do not change."""
    unseen = _unseen(quantizer, "weights")
    for key, module in quantizer.weights.items():
        if isinstance(module, BaseFakeQuantize) and key not in unseen:
            module.observe_end_(forget)


def _unseen(quantizer: Quantizer, part: str) -> set[str]:
    """Return the keys of quantizers that have seen nothing in any process."""
    here = {
        key
        for key, module in getattr(quantizer, part).items()
        if isinstance(module, BaseFakeQuantize) and not module.ready
    }
    return set.intersection(*all_gather_object(here))
