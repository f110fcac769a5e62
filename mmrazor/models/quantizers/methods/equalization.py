# The paper's third step, the absorption of high biases, is left out: a constant that a
# convolution with padding takes over from the layer before is missing at the border, so
# that the float function would change.
"""Cross-layer equalization: give the channels of a weight ranges that are alike.

Data-Free Quantization Through Weight Equalization and Bias Correction (Nagel et al.,
2019, arXiv:1906.04721), section 4.1.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, final

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ....core.forward import call_model
from ....registry import MODELS
from ..flow import Flow, flow_of
from ..quantizer import Quantizer
from .base import LayerError, PostTrainingMethod
from .pairs import Pair, pairs_of


@final
@MODELS.register_module()
class CrossLayerEqualization(PostTrainingMethod):
    """Scale channels between layers so that one scale fits all of a weight.

    What a layer makes is divided by ``sqrt(r1 * r2) / r2`` for each channel, with the
    ranges of the channel in the weights of this layer and of the next, which is
    multiplied by it. ReLU and pooling between them let it through, so that the model
    computes what it did. Pairs that share a layer, such as those of a depthwise
    convolution, are gone through again until nothing changes.

    It helps where a weight has one scale. The error in the returned records is the
    squared rounding error of the weight in relation to it, with the settings of its
    quantizer.

    Args:
        replace_relu6: Put ``nn.ReLU`` where ``nn.ReLU6`` is, as the paper does, whose
            upper end scales would move. This changes the model; without it, the layers
            on both sides of one are left as they are. A warning tells.
        tolerance: Of a scale that does not change any more.
        max_rounds: Limit of the rounds.

    Raises:
        ValueError: If tolerance or max_rounds is not above 0.
    """

    before_calibration: ClassVar[bool] = True

    def __init__(
        self,
        replace_relu6: bool = False,
        tolerance: float = 1e-4,
        max_rounds: int = 1000,
    ) -> None:
        if tolerance <= 0 or max_rounds < 1:
            raise ValueError(
                f"tolerance={tolerance} and max_rounds={max_rounds} are to be above 0."
            )
        self.replace_relu6 = replace_relu6
        self.tolerance, self.max_rounds = tolerance, max_rounds

    def __call__(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        batches: Iterable[Any],
        run: Callable[[nn.Module, Any], Any] = call_model,
        advance: Callable[[], None] = lambda: None,
    ) -> list[LayerError]:
        """Change the model in place; see :class:`~.base.PostTrainingMethod`."""
        [batch, *_] = self._checked(quantizer, batches)
        with quantizer.in_float():
            flow = flow_of(model, batch, run)
            if self.replace_relu6 and _replace_relu6_(model, flow):
                flow = flow_of(model, batch, run)
        pairs, clamps = pairs_of(model, flow)
        if clamps:
            places = ", ".join(f"'{call.site}'" for call in clamps)
            _warn(
                f"Channels are not equalized through {places}, which clips at an upper "
                "end that other scales would move. replace_relu6=True puts ReLU where "
                "modules are ReLU6."
            )
        names = {
            f"{site}": where.name
            for site, where in quantizer.places.weights.items()
            if where.name is not None
        }
        before = _errors(model, quantizer)
        equalize_(model, pairs, self.tolerance, self.max_rounds)
        after = _errors(model, quantizer)
        for _ in quantizer.layers():
            advance()
        changed = {f.weight for pair in pairs for f in (pair.first, pair.second)}
        return [
            LayerError(site, before[site], after[site])
            for site, name in names.items()
            if name in changed
        ]


def equalize_(
    model: nn.Module,
    pairs: Iterable[Pair],
    tolerance: float = 1e-4,
    max_rounds: int = 1000,
) -> None:
    """Equalize pairs of layers, in place, until no scale changes any more.

    Args:
        model: The model.
        pairs: Of it.
        tolerance: Of a scale that does not change.
        max_rounds: Limit of the rounds; a warning tells that it was met.
    """
    pairs = list(pairs)
    factors = {f.weight: f for pair in pairs for f in (pair.first, pair.second)}
    weights = {
        name: factor.product.matrix(model.get_parameter(name).detach().double())
        for name, factor in factors.items()
    }
    biases = {
        factor.bias: model.get_parameter(factor.bias).detach().double()
        for factor in factors.values()
        if factor.bias is not None
    }
    for _ in range(max_rounds):
        change = 0.0
        for pair in pairs:
            scale = _equalized_(pair, weights, biases)
            change = max(change, float((scale - 1).abs().max()))
        if change < tolerance:
            break
    else:
        if pairs:
            _warn(
                f"After {max_rounds} rounds of equalization, scales still change by "
                f"{change:.1e}. Raise max_rounds, or tolerance."
            )
    with torch.no_grad():
        for name, factor in factors.items():
            weight = model.get_parameter(name)
            weight.copy_(factor.product.weight(weights[name], weight))
        for name, bias in biases.items():
            model.get_parameter(name).copy_(bias)


def scales(range_first: Tensor, range_second: Tensor) -> Tensor:
    """Return what equalizes two ranges of each channel: equation 11 of the paper.

    The first is to be divided by it, and the second multiplied; a channel that is all
    zeros on one side stays.

    Example:
        >>> scales(torch.tensor([8.0, 1.0]), torch.tensor([2.0, 0.0]))
        tensor([2., 1.])
    """
    found = (range_first / range_second).sqrt()
    return torch.where((range_first > 0) & (range_second > 0), found, 1.0)


def _equalized_(
    pair: Pair, weights: dict[str, Tensor], biases: dict[str, Tensor]
) -> Tensor:
    first, second = weights[pair.first.weight], weights[pair.second.weight]
    # G groups, O outputs and I inputs of each, K elements of an input.
    split_GOIK = second.unflatten(2, (pair.channels // len(second), -1))
    scale = scales(
        first.abs().amax(2).flatten(), split_GOIK.abs().amax((1, 3)).flatten()
    )
    weights[pair.first.weight] = first / scale.view(*first.shape[:2], 1)
    if pair.first.bias is not None:
        biases[pair.first.bias] = biases[pair.first.bias] / scale
    grouped = scale.view(len(second), 1, -1, 1)
    weights[pair.second.weight] = (split_GOIK * grouped).flatten(2)
    return scale


def _errors(model: nn.Module, quantizer: Quantizer) -> dict[str, float]:
    """Return the error of each weight, rounded to a range that it gives itself."""
    errors = {}
    for site, where in quantizer.places.weights.items():
        if where.name is None:
            continue
        weight = model.get_parameter(where.name).detach()
        module = copy.deepcopy(quantizer.step_at(site).weight)
        module.observing, module.quantizing = True, False
        module(weight)
        module.observe_end_()
        with torch.no_grad():
            change = (module.rounded(weight) - weight).double().square().sum()
        size = weight.double().square().sum()
        errors[f"{site}"] = float(change / size) if size else 0.0
    return errors


def _replace_relu6_(model: nn.Module, flow: Flow) -> list[str]:
    """Put ReLU where ReLU6 is in the way; return the names of the modules."""
    _, clamps = pairs_of(model, flow)
    names = {call.site.module for call in clamps if call.site.module}
    found = [n for n in names if isinstance(model.get_submodule(n), nn.ReLU6)]
    for name in found:
        module: Any = model.get_submodule(name)
        model.set_submodule(name, nn.ReLU(module.inplace).train(module.training))
    if found:
        _warn(
            f"ReLU stands where ReLU6 was, at {', '.join(sorted(found))}: the model "
            "computes something else where that came to 6."
        )
    return found


def _warn(text: str) -> None:
    print_log(text, logger="current", level=logging.WARNING)
