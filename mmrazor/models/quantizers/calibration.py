"""Find the ranges of a quantized model on data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from torch import nn

from ...core.forward import call_model, evaluating
from .parameter_use import listed
from .quantizer import Quantizer
from .skipped_norms import SkippedNorms
from .steps import QuantizedRunError

_PARTS = ("weights", "activations")


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

    What the data never reach stays in float, with a warning that names it; another one
    names activations whose settings have no integers for what they are below 0, and one
    more batch norms that were folded into layers and that some data do not go through.

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
    skips = SkippedNorms(quantizer.pairs())
    with evaluating(model), skips.counting(model):
        for number, batch in enumerate(batches, 1):
            try:
                run(model, batch)
            except (RuntimeError, TypeError, ValueError) as err:
                broken = isinstance(err, RuntimeError)
                kind = QuantizedRunError if broken else CalibrationError
                raise kind(f"Calibration stopped in batch {number}: {err}") from err
            skips.check(number)
            if number == 1:
                _end_(quantizer, "weights", forget)  # they do not change
            advance()
    if not number:
        raise CalibrationError(
            "There is nothing to calibrate on: the batches are empty. Give some tens "
            "of images such as the model will see."
        )
    _tell_skipped_(quantizer, skips.found)
    cut_off = _cut_off(quantizer)
    for part in _PARTS:
        _end_(quantizer, part, forget)
    if cut_off:
        _warn(
            "These activations are below 0 too, which their settings (signed=False, "
            f"symmetric=True) cut off: {', '.join(cut_off)}. Give them symmetric=False "
            "or signed=True."
        )
    unseen = {part: _without_range(quantizer, part) for part in _PARTS}
    if any(unseen.values()):
        sites = quantizer.drop_(unseen)
        _warn(
            "The calibration data never get to these places, which stay in float: "
            f"{', '.join(map(str, sites))}."
        )
    quantizer.mode_(observing=False, quantizing=True)


def _tell_skipped_(quantizer: Quantizer, found: dict[tuple[str, str], str]) -> None:
    """Keep the norms that data skip; name those that are folded already."""
    if not found:
        return
    quantizer.keep_norms_(found)
    lines = (
        f"'{norm}' behind '{layer}' ({why})" for (layer, norm), why in found.items()
    )
    _warn(
        "Some data skip batch norms that other data go through: "
        f"{listed(lines)}. A norm that is folded into its layer is applied to them all "
        "the same. Leave such a layer in float: ignore=[...]."
    )


def _warn(text: str) -> None:
    print_log(text, logger="current", level=logging.WARNING)


def _cut_off(quantizer: Quantizer) -> list[str]:
    """Return the keys of activations that have no integers for numbers they had."""
    return [key for key, module in quantizer.activations.items() if _cuts(module)]


def _cuts(module: Any) -> bool:
    settings, least = module.settings_now, module.observer.least
    cuts: bool = settings.symmetric and not settings.signed
    return cuts and least is not None and float(least) < 0


def _end_(quantizer: Quantizer, part: str, forget: bool) -> None:
    """Take the ranges of quantizers that have seen data in any process."""
    seen = {
        key
        for key, module in getattr(quantizer, part).items()
        if module.observing and module.observer.has_data()
    }
    seen = set.union(*all_gather_object(seen))
    for key, module in getattr(quantizer, part).items():
        if key in seen:
            module.observe_end_(forget)


def _without_range(quantizer: Quantizer, part: str) -> set[str]:
    modules = getattr(quantizer, part).items()
    return {key for key, module in modules if not module.ready}
