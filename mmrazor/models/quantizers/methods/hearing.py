"""What a layer is given and returns while its model runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ....core.forward import evaluating
from ..quantizer import Quantizer
from ..sites import Site
from .layers import WeightLayer


@dataclass(frozen=True)
class Heard:
    """What a call was given and returned, detached and copied.

    Args:
        site: Of the call.
        given: Its tensors, quantized if the model was.
        result: What it returned.
    """

    site: Site
    given: list[Tensor]
    result: Tensor


def heard(
    model: nn.Module,
    quantizer: Quantizer,
    layer: WeightLayer,
    batch: Any,
    run: Callable[[nn.Module, Any], Any],
) -> list[Heard]:
    """Run a model on a batch, as far as a layer, and return what its calls saw.

    Args:
        model: The model, as it is to run: in float or quantized.
        quantizer: Prepared for it.
        layer: The layer.
        batch: What to run it on.
        run: Runs it.
    """
    found: list[Heard] = []

    def listen(site: Site, given: list[Tensor], result: Any) -> None:
        if site not in layer.calls:
            return
        copies = [tensor.detach().clone() for tensor in given]
        found.append(Heard(site, copies, result.detach().clone()))
        if len(found) == layer.number:
            raise _Heard

    with evaluating(model), quantizer.listening(listen), suppress(_Heard):
        run(model, batch)
    return found


class _Heard(Exception):
    """The layer has made its last call."""
