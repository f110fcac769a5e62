"""Bias correction: give each layer the mean output that it had in float.

Data-Free Quantization Through Weight Equalization and Bias Correction (Nagel et al.,
2019, arXiv:1906.04721), section 4.2 and appendix D: the empirical way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable
from functools import partial
from typing import Any, final

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ....core.forward import call_model
from ....registry import MODELS
from ..originals import as_original, changed_
from ..quantizer import Quantizer
from ..sites import Site
from .base import LayerError, PostTrainingMethod
from .hearing import Heard, heard
from .layers import WeightLayer, weight_layers

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_FORWARDS = {kind.forward for kind in (*_LINEAR, *_TRANSPOSED)}


@final
@MODELS.register_module()
class BiasCorrection(PostTrainingMethod):
    """Shift the bias of each layer by what rounding shifted its mean output by.

    That is ``E[W x] - E[W_q x_q]`` for each channel, over all positions and data, where
    ``x_q`` is what the corrected layers before return. A layer without bias gets one; a
    bias that something else reads too stays as it is, with a warning.
    It goes with any other method, and comes after it. The error in the returned records
    is the squared shift of the means in relation to their square.

    Example:
        >>> import torch
        >>> from mmrazor.models.quantizers import Quantizer, calibrate_
        >>> model, data = nn.Sequential(nn.Linear(8, 4)), [torch.rand(64, 8)]
        >>> wanted = model(data[0]).mean(0)
        >>> quantizer = Quantizer('generic', weight=dict(bits=2))
        >>> quantizer.prepare_(model, data[0])
        >>> calibrate_(model, quantizer, data)
        >>> _ = BiasCorrection()(model, quantizer, data)
        >>> torch.allclose(model(data[0]).mean(0), wanted, atol=1e-5)
        True
    """

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
        data = model, quantizer, batches[0], run
        _add_biases_(model, weight_layers(*data, changes_weights=False))
        layers = weight_layers(*data, changes_weights=False)
        left = [la.text for la in layers if not any(la.biases.values())]
        if left:
            print_log(
                "Layers whose bias cannot be corrected, for they would add none: "
                f"{', '.join(left)}.",
                logger="current",
                level=logging.WARNING,
            )
        tied = {la.text: who for la in layers for who in la.tied.values()}
        if tied:
            reasons = (f"'{text}' (read by {who})" for text, who in tied.items())
            print_log(
                "Biases that stay as they are, for something else reads them too: "
                f"{', '.join(reasons)}.",
                logger="current",
                level=logging.WARNING,
            )
        errors = []
        for layer in layers:
            for bias in dict.fromkeys(filter(None, layer.biases.values())):
                if bias in layer.tied:
                    continue
                sites = [s for s, name in layer.biases.items() if name == bias]
                parts = model, quantizer, layer, sites, batches, run
                mean = partial(_mean_output, *parts)
                with as_original(model, quantizer):
                    wanted = mean()
                shift = wanted - mean()
                new = model.get_parameter(bias).detach() + shift
                changed_(model, quantizer, bias, new)
                size = float(wanted.square().sum()) or 1.0
                ends = (
                    float(s.square().sum()) / size for s in (shift, wanted - mean())
                )
                errors.append(LayerError(f"{sites[0]}", *ends))
            for _ in layer.calls:
                advance()
        return errors


def _mean_output(
    model: nn.Module,
    quantizer: Quantizer,
    layer: WeightLayer,
    sites: Container[Site],
    batches: Iterable[Any],
    run: Callable[[nn.Module, Any], Any],
) -> Tensor:
    """Return the mean of each output channel at some calls, before its own rounding."""
    total: Any = 0
    number = 0
    for batch in batches:
        for one in heard(model, quantizer, layer, batch, run):
            if one.site not in sites:
                continue
            output = _raw(quantizer, layer, one)
            axis = -1 if layer.products[one.site].kind == "linear" else 1
            rows = output.double().movedim(axis, 0).flatten(1)
            total, number = total + rows.sum(1), number + rows.shape[1]
    mean: Tensor = total / number
    return mean


def _raw(quantizer: Quantizer, layer: WeightLayer, one: Heard) -> Tensor:
    if quantizer.step_at(one.site).output is None:
        return one.result
    with torch.no_grad():
        result: Tensor = layer.calls[one.site](*one.given)
    return result


def _add_biases_(model: nn.Module, layers: Iterable[WeightLayer]) -> None:
    """Give a bias of zeros to layers that have none and would add it."""
    for layer in layers:
        module: Any = model.get_submodule(layer.name.rpartition(".")[0])
        own = {site.module for site in layer.calls} == {layer.name.rpartition(".")[0]}
        if own and type(module).forward in _FORWARDS and module.bias is None:
            outputs = module.weight.shape[0]
            if isinstance(module, _TRANSPOSED):
                outputs = module.weight.shape[1] * module.groups
            module.bias = nn.Parameter(module.weight.new_zeros(outputs))
