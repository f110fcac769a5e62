# Rows of inputs are kept in place of images, so that a step costs one product of
# matrices whatever the layer is.
"""AdaRound: learn which weights to round up and which down, layer by layer.

Up or Down? Adaptive Rounding for Post-Training Quantization (Nagel et al., 2020,
arXiv:2004.10568).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ....core.forward import call_model
from ....registry import MODELS
from ..originals import as_original
from ..quantizer import Quantizer
from .base import LayerError, PostTrainingMethod
from .hearing import Heard, heard
from .layers import LayerCall, WeightLayer, baked_, weight_layers
from .products import picked
from .rounding import Learning, SoftRounding, learn_

_ROWS = 4096  # that an error is measured on at a time
_TINY = 1e-30


@final
@MODELS.register_module()
class AdaRound(PostTrainingMethod):
    """Learn to round the weights of each layer so that it returns what it did in float.

    A layer is given what the quantized layers before it return, and its output behind
    ReLU, if one follows, is compared with that of the float model (section 3.3). The
    error in the returned records is the squared difference in relation to that output,
    first of rounding to nearest. Where that is better, it stays.

    Args:
        iterations: Steps of Adam for each layer.
        lr: Its learning rate.
        strength: Of the regulariser that pulls to the grid, for an error in units of
            that of rounding to nearest.
        warmup: Share of the steps without it.
        beta: Exponent of the regulariser at its begin and end.
        positions: Positions of an image that are used, drawn at random; None is all.
        batch_size: Positions in a step.
        seed: Of what is drawn.

    Raises:
        ValueError: If one of them is out of its range.
    """

    def __init__(
        self,
        iterations: int = 10_000,
        lr: float = 1e-2,
        strength: float = 0.1,
        warmup: float = 0.2,
        beta: Sequence[float] = (20.0, 2.0),
        positions: int | None = 32,
        batch_size: int = 1024,
        seed: int = 0,
    ) -> None:
        first, last = beta
        self.learning = Learning(iterations, lr, strength, warmup, (first, last))
        self.positions, self.batch_size, self.seed = positions, batch_size, seed

    def __call__(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        batches: Iterable[Any],
        run: Callable[[nn.Module, Any], Any] = call_model,
        advance: Callable[[], None] = lambda: None,
    ) -> list[LayerError]:
        """Change the model in place; see :class:`~.base.PostTrainingMethod`."""
        batches = self._checked(quantizer, batches)
        errors = []
        for layer in weight_layers(model, quantizer, batches[0], run):
            errors.append(self.rounded_(model, quantizer, layer, batches, run))
            for _ in layer.calls:
                advance()
        return errors

    def rounded_(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        layer: WeightLayer,
        batches: Iterable[Any],
        run: Callable[[nn.Module, Any], Any],
    ) -> LayerError:
        """Learn the rounding of one layer and round it; return its error."""
        generator = torch.Generator().manual_seed(self.seed)
        pairs = _PairedRows(model, quantizer, layer, run)
        for batch in batches:
            pairs.add_(batch, self.positions, generator)
        weight, data = pairs.weight, pairs.examples()
        product = next(iter(layer.products.values()))
        scale, zero = (product.matrix(part).to(weight) for part in layer.grid(weight))
        settings = layer.quantizer.settings_now
        soft = SoftRounding(product.matrix(weight), scale, zero, settings)

        nearest = product.matrix(layer.quantizer.quantized_(weight))
        before = data.error((nearest - zero) * scale)
        unit = max(before * data.power / data.number, _TINY)

        def loss() -> Tensor:
            size = (min(self.batch_size, data.number),)
            picks = torch.randint(data.number, size, generator=generator)
            change = data.at(soft(), picks)
            return change.square().sum((0, 2)).mean() / unit

        learn_([soft], loss, self.learning)
        after = data.error((soft.integers() - zero) * scale)
        best = soft.integers() if after < before else nearest
        baked_(model, quantizer, layer, product.weight(best, weight))
        return LayerError(layer.text, before, min(before, after))


@dataclass
class Examples:
    """What a layer is given and what it is to return.

    Args:
        rows_GNK: Its inputs.
        targets_GNO: Its outputs, behind the activation.
        bias_GO: Its bias, None without.
        activations: What is called on its result.
    """

    rows_GNK: Tensor
    targets_GNO: Tensor
    bias_GO: Tensor | None
    activations: Sequence[LayerCall]

    @property
    def number(self) -> int:
        """Number of the rows."""
        return self.rows_GNK.shape[1]

    @property
    def power(self) -> float:
        """Sum of the squared targets; 1 if they are all zeros."""
        return float(self.targets_GNO.double().square().sum()) or 1.0

    def at(self, weight_GOK: Tensor, picks: Tensor) -> Tensor:
        """Return the difference of what a weight makes of some rows, ``(G, N, O)``."""
        rows = self.rows_GNK.index_select(1, picks).to(weight_GOK)
        found = rows @ weight_GOK.mT
        if self.bias_GO is not None:
            found = found + self.bias_GO[:, None]
        for activation in self.activations:
            found = activation(found)
        return found - self.targets_GNO.index_select(1, picks).to(found)

    @torch.no_grad()
    def error(self, weight_GOK: Tensor) -> float:
        """Return the squared difference in relation to the targets."""
        parts = torch.arange(self.number).split(_ROWS)
        changes = (self.at(weight_GOK, picks).double() for picks in parts)
        return sum(float(part.square().sum()) for part in changes) / self.power


class _PairedRows:
    """Rows that a layer is given when quantized, with what it returned in float."""

    def __init__(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        layer: WeightLayer,
        run: Callable[[nn.Module, Any], Any],
    ) -> None:
        self.model, self.quantizer, self.layer, self.run = model, quantizer, layer, run
        self.weight = layer.weight(model)
        # Several sites have activations of their own, and so may biases be.
        only = len(layer.calls) == 1 and not layer.bias_varies
        first = next(iter(layer.activations.values()))
        self.activations = first if only else []
        self._rows: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._bias: Tensor | None = None
        self._warned = False

    def add_(
        self, batch: Any, positions: int | None, generator: torch.Generator
    ) -> None:
        """Run the model in float and quantized, and keep what a layer saw."""
        model, quantizer, layer, run = self.model, self.quantizer, self.layer, self.run
        with as_original(model, quantizer):
            wanted = heard(model, quantizer, layer, batch, run)
        found = heard(model, quantizer, layer, batch, run)
        paired = [(a.site, a.result.shape) for a in wanted] == [
            (b.site, b.result.shape) for b in found
        ]
        results = [one.result for one in wanted]
        if not paired:
            self._warn()
            results = [self._float_result(one) for one in found]
        for one, result in zip(found, results, strict=True):
            self._keep(one, result, positions, generator)

    def examples(self) -> Examples:
        """Return all of them."""
        rows, targets = torch.cat(self._rows, 1), torch.cat(self._targets, 1)
        return Examples(rows, targets, self._bias, self.activations)

    def _keep(
        self,
        one: Heard,
        result: Tensor,
        positions: int | None,
        generator: torch.Generator,
    ) -> None:
        product = self.layer.products[one.site]
        picks = picked(*product.num_positions(result), positions, generator)
        bias = one.given[2] if len(one.given) > 2 else None
        if self.layer.bias_varies and bias is not None:
            ones = [1] * (0 if product.kind == "linear" else result.dim() - 2)
            result, bias = result - bias.view(-1, *ones), None
        for activation in self.activations:
            result = activation(result)
        kernel = self.weight.shape[2:]
        rows = product.rows(one.given[0], picks, kernel, result.shape)
        self._rows.append(rows.cpu())
        self._targets.append(product.outputs(result, picks).cpu())
        if bias is not None:
            self._bias = bias.view(product.groups, -1)

    def _float_result(self, one: Heard) -> Tensor:
        with torch.no_grad():
            result: Tensor = self.layer.calls[one.site](
                one.given[0], self.weight, *one.given[2:]
            )
        return result

    def _warn(self) -> None:
        if not self._warned:
            print_log(
                f"'{self.layer.text}' is called otherwise in the float model than in "
                "the quantized one. Its float output on quantized inputs is the target "
                "there.",
                logger="current",
                level=logging.WARNING,
            )
        self._warned = True
