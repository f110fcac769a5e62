"""How many bytes the parameters of a quantized model take as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from .measures import num_bytes
from .quantizer import Quantizer
from .sites import Site


@dataclass(frozen=True)
class StoredWeight:
    """A quantized weight: integers packed without gaps, and scales in float32.

    Args:
        numel: Number of its elements.
        num_scales: Number of its scales.
    """

    numel: int
    num_scales: int

    def num_bytes(self, bits: int) -> int:
        """Return the bytes that it takes.

        Example:
            >>> StoredWeight(numel=10, num_scales=2).num_bytes(4)
            13
        """
        return num_bytes(self.numel, bits) + 4 * self.num_scales


@dataclass(frozen=True)
class StoredSize:
    """The bytes of all parameters of a model.

    Args:
        in_float: With every parameter as it is in the model.
        rest: Those that no quantized weight is, or that are read in float as well.
        weights: By site, the quantized weights; one that is shared stands at its first.
    """

    in_float: int
    rest: int
    weights: Mapping[Site, StoredWeight]

    def total(self, bits: Mapping[Site, int]) -> int:
        """Return the bytes of all parameters.

        Args:
            bits: Bit-width of each of the weights.
        """
        sizes = (weight.num_bytes(bits[site]) for site, weight in self.weights.items())
        return self.rest + sum(sizes)


def stored_size(model: nn.Module, quantizer: Quantizer) -> StoredSize:
    """Return what the parameters of a model take, for any bit-widths.

    Args:
        model: The model.
        quantizer: Prepared for it, and calibrated.
    """
    parameters = dict(model.named_parameters())
    left = {name: parameter.numel() for name, parameter in parameters.items()}
    in_float = sum(p.numel() * p.element_size() for p in parameters.values())
    rest, weights = in_float, {}
    for site, weight in quantizer.places.weights.items():
        name = weight.parameter or ""
        numel = min(weight.numel, left.get(name, 0))
        if numel:
            left[name] -= numel
            if name not in quantizer.places.kept_floats:
                rest -= numel * parameters[name].element_size()
            module: Any = quantizer.step_at(site).weight
            weights[site] = StoredWeight(numel, module.scale.numel())
    return StoredSize(in_float, rest, weights)
