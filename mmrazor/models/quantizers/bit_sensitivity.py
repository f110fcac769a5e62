# ZeroQ asks how far the outputs of a network move when one layer alone is narrow, and
# adds up what the layers say. Its measure is the KL divergence of class probabilities,
# which a detector has none of; here it is the squared error of what the last layers
# return, in relation to what they return in float. Related: HAQ (arXiv:1811.08886)
# learns by trial, HAWQ (arXiv:1905.03696) looks at second derivatives.
"""How much the output of a model suffers from narrow weights, layer by layer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...core.forward import call_model
from .bit_space import BitSpace
from .originals import as_original
from .outputs import outputs_at, same_lengths
from .quantizer import Quantizer
from .sites import Site


@dataclass(frozen=True)
class BitSensitivity:
    """Errors of a model's output while one layer is narrow and all others are widest.

    Args:
        widest: Error with every weight at its widest.
        errors: By Choice and bit-width, the error with that one alone at that width.
        outputs: Layers whose results were compared.

    Example:
        >>> found = BitSensitivity(0.1, {'a': {8: 0.1, 4: 0.3}, 'b': {8: 0.1, 4: 0.2}})
        >>> round(found.estimate({'a': 4, 'b': 4}), 3)
        0.4
    """

    widest: float
    errors: Mapping[str, Mapping[int, float]]
    outputs: tuple[str, ...] = ()

    def estimate(self, values: Mapping[str, Any]) -> float:
        """Return the sum of what all layers add to the error of the widest.

        Args:
            values: Bit-width of each Choice.
        """
        added = (self.errors[name][bits] - self.widest for name, bits in values.items())
        return self.widest + sum(added)


def bit_sensitivity(
    model: nn.Module,
    quantizer: Quantizer,
    bits: BitSpace,
    batches: Iterable[Any],
    run: Callable[[nn.Module, Any], Any] = call_model,
    advance: Callable[[], None] = lambda: None,
) -> BitSensitivity:
    """Measure what each layer's narrow weights do to the output of a model.

    ZeroQ: A Novel Zero Shot Quantization Framework (Cai et al., 2020,
    arXiv:2001.00281), section 3.2, with the error of :func:`output_errors`.

    Args:
        model: The model.
        quantizer: Prepared for it, and calibrated. Activations are quantized as it
            says.
        bits: Its bit-widths.
        batches: What to run it on.
        run: Runs it.
        advance: Called after each run, of which there are :func:`num_runs` for a batch.

    Raises:
        ValueError: As :func:`output_errors`.
    """
    widest = bits.widest()
    narrow = [(name, width) for name in bits.space for width in bits.widths(name)[1:]]
    candidates = [widest, *({**widest, name: width} for name, width in narrow)]
    found = output_errors(model, quantizer, bits, batches, candidates, run, advance)
    errors = {name: {width: found[0]} for name, width in widest.items()}
    for (name, width), error in zip(narrow, found[1:], strict=True):
        errors[name][width] = error
    outputs = tuple(f"{site}" for site in sorted(quantizer.places.last))
    return BitSensitivity(found[0], errors, outputs)


def num_runs(bits: BitSpace) -> int:
    """Return how often :func:`bit_sensitivity` runs a model on a batch."""
    return 1 + sum(len(bits.widths(name)) - 1 for name in bits.space)


def output_errors(
    model: nn.Module,
    quantizer: Quantizer,
    bits: BitSpace,
    batches: Iterable[Any],
    candidates: Sequence[Mapping[str, Any]],
    run: Callable[[nn.Module, Any], Any] = call_model,
    advance: Callable[[], None] = lambda: None,
) -> list[float]:
    """Run a model with several values of its bit-widths and compare it with float.

    The error is ``sum((y - y_float)**2) / sum(y_float**2)`` over all data, for each of
    the last layers (:class:`~.places.Places`), and the mean of that over these layers.
    So it is defined for logits and for the maps of a detector's heads alike. Calls that
    return another number of elements than in float, as those that work on proposals
    may, are left out.

    Args:
        model: The model. Selected values are as before afterwards.
        quantizer: Prepared for it, and calibrated.
        bits: Its bit-widths.
        batches: What to run it on.
        candidates: Values of the Choices.
        run: Runs it.
        advance: Called after each run of a candidate.

    Returns:
        The error of each candidate.

    Raises:
        ValueError: If there is nothing to compare, or it is not finite.
    """
    last, before = quantizer.places.last, bits.space.selected()
    sums = [_Sums() for _ in candidates]
    try:
        for batch in batches:
            with as_original(model, quantizer):
                wanted = outputs_at(model, quantizer, last, batch, run)
            for values, total in zip(candidates, sums, strict=True):
                bits.space.select_(values)
                total.add(wanted, outputs_at(model, quantizer, last, batch, run))
                advance()
    finally:
        bits.space.select_(before)
    return [total.error(last) for total in sums]


class _Sums:
    """Squares of float results and of their errors, by site."""

    def __init__(self) -> None:
        self._power: defaultdict[Site, float] = defaultdict(float)
        self._error: defaultdict[Site, float] = defaultdict(float)

    def add(
        self, wanted: Mapping[Site, list[Tensor]], found: Mapping[Site, list[Tensor]]
    ) -> None:
        for site, parts in wanted.items():
            others = found.get(site, [])
            if same_lengths(parts, others):
                one, other = (torch.cat(many).double() for many in (parts, others))
                self._power[site] += float(one.square().sum())
                self._error[site] += float((one - other).square().sum())

    def error(self, sites: Iterable[Site]) -> float:
        ratios = [self._error[s] / power for s, power in self._power.items() if power]
        mean = sum(ratios) / len(ratios) if ratios else math.nan
        if math.isfinite(mean):
            return mean
        names = ", ".join(f"'{site}'" for site in sorted(sites))
        raise ValueError(
            f"What the last layers ({names}) return cannot be compared: on the data it "
            "is all zeros, not finite, or of another shape each time. Give batches on "
            "which the float model returns numbers."
        )
