# Layers are compared with the float model that batch norms are folded into, each given
# what it is given. What goes wrong between them, or before that, is seen in no layer:
# the outputs of the whole are compared with those of the model as the user gave it.
"""How far a whole quantized model is from the float model that it was made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ...core.forward import call_model, evaluating
from ...core.graph.trace import tensors_in
from .measures import sqnr_db

#: A whole model that is less decibels from the original is warned of.
LEAST_DB = 25.0
#: How much worse than the worst of its layers a whole model may be, unremarked.
MARGIN_DB = 10.0


def whole_sqnr(
    original: nn.Module,
    model: nn.Module,
    batch: Any,
    run: Callable[[nn.Module, Any], Any] = call_model,
) -> float | None:
    """Return how far a model's outputs are from those of the original, in decibels.

    Args:
        original: The original.
        model: The model.
        batch: What both are run on, in eval mode.
        run: Runs them.

    Returns:
        The ratio of the output that differs most; None if there are no outputs of the
        same shapes, such as detections of other numbers of boxes.

    Example:
        >>> layer, twin = nn.Linear(2, 2), nn.Linear(2, 2)
        >>> _ = twin.load_state_dict(layer.state_dict())
        >>> whole_sqnr(layer, twin, torch.ones(1, 2))
        inf
    """
    with evaluating(original):
        wanted = _numbers_in(run(original, batch))
    with evaluating(model):
        found = _numbers_in(run(model, batch))
    if not wanted or [t.shape for t in wanted] != [t.shape for t in found]:
        return None
    pairs = zip(wanted, found, strict=True)
    ratios = [_ratio(one, other) for one, other in pairs if one.any()]
    if not ratios:  # all outputs are zeros
        return sqnr_db(_joined(wanted), _joined(found))
    return min(ratios, key=lambda ratio: -math.inf if math.isnan(ratio) else ratio)


def whole_warning(whole: float, layers: Iterable[float | None]) -> str | None:
    """Return what is wrong with a whole model and what to do, None if nothing is.

    Args:
        whole: Ratio of the whole, in decibels.
        layers: Ratios of its layers, None where there is none.

    Example:
        >>> whole_warning(40.0, [42.0, None]) is None
        True
        >>> whole_warning(24.0, [30.0])[:47]
        'The whole model is 24.0 dB from the original fl'
    """
    known = [ratio for ratio in layers if ratio is not None and math.isfinite(ratio)]
    worst = min(known, default=-math.inf)
    text = f"The whole model is {whole:.1f} dB from the original float model"
    if known and not whole >= worst - MARGIN_DB:  # so that NaN is worse
        return (
            f"{text}, while its layers, one by one, are {worst:.1f} dB or better: "
            "something outside of them was changed, or makes their errors larger. "
            "Leave the last modules of the model in float (ignore=[...]) and compare."
        )
    if not whole >= LEAST_DB:
        return (
            f"{text}, below {LEAST_DB:.0f} dB. Leave the layers with the least SQNR in "
            "float (ignore=[...]), give them more bits, or use methods=[...]."
        )
    return None


def _numbers_in(outputs: Any) -> list[Tensor]:
    """Return the tensors of real numbers in outputs, kept from changes."""
    return [
        tensor.detach().cpu().clone()
        for tensor in tensors_in(outputs)
        if tensor.is_floating_point() and tensor.numel()
    ]


def _ratio(wanted: Tensor, found: Tensor) -> float:
    """Return the ratio of an output, apart from infinite numbers that are the same."""
    differ = ~((wanted == found) & ~wanted.isfinite())
    return sqnr_db(wanted[differ], found[differ]) if differ.any() else math.inf


def _joined(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
