"""Round biases as a runtime does that adds them to sums of integers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .settings import QuantSettings


class RoundBias(nn.Module):
    """A bias in, the nearest multiples of the step that sums of products have out.

    The gradient is that of the identity. Nothing is rounded while a quantizer does not
    round, where a layer of rows is given more than rows, and in a convolution with
    weights of less than 8 bits: that bias is added to real numbers.

    Args:
        given: Quantizer of what the layer is given.
        weight: Quantizer of its weight.
        rows: Whether it is a layer of rows, which is given two dimensions.
    """

    def __init__(self, given: Any, weight: Any, rows: bool) -> None:
        super().__init__()
        self.given, self.weight, self.rows = given, weight, rows

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        """Return the bias as the integers give it.

        Args:
            x: The bias, shape ``(C,)``.
            given: What the layer is given.
        """
        quantizers = self.given, self.weight
        if not all(one.quantizing and one.ready for one in quantizers):
            return x
        if not (given.dim() == 2 if self.rows else self.weight.settings_now.bits == 8):
            return x
        with torch.no_grad():
            scale = sum_scale(*quantizers)
            change = (x.double() / scale).round() * scale - x
        return x + change.to(x.dtype)


def sum_scale(given: Any, weight: Any) -> Tensor:
    """Return the step of sums of products, shape ``()`` or ``(C,)``.

    Args:
        given: Quantizer of what a layer is given.
        weight: Quantizer of its weight.
    """
    scale: Tensor = given.scale.detach() * weight.scale.detach()
    return scale


def sums_have_one_scale(weight: Any) -> bool:
    """Tell whether all products in a sum have one step, so that it is of integers.

    Args:
        weight: Quantizer of the weight of a layer.
    """
    settings: QuantSettings = weight.settings_now
    return settings.symmetric and settings.granularity != "group"
