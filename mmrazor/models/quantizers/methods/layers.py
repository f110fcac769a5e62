"""The weights that methods change, and the calls that multiply with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ..base import BaseFakeQuantize
from ..flow import Call, Flow, flow_of
from ..numeric import dequantized
from ..originals import changed_
from ..parameter_use import ParameterUse, listed
from ..places import Weight
from ..quantizer import Quantizer
from ..shapes import spread
from ..sites import Site, flat_tensors, with_tensors
from .products import Product


@dataclass(frozen=True)
class LayerCall:
    """A call of torch that can be made again.

    Args:
        func: What is called.
        args: Positional arguments, with empty tensors.
        kwargs: Keyword arguments, with empty tensors.
    """

    func: Callable
    args: tuple
    kwargs: dict

    @classmethod
    def of(cls, call: Call) -> LayerCall:
        """Return it from the call of a run, without what it was given there."""
        nothing = torch.empty(0)
        return cls(call.func, *with_tensors(call.args, call.kwargs, lambda *_: nothing))

    def __call__(self, *tensors: Tensor) -> Any:
        """Make the call with other tensors in place of those that it was given."""
        args, kwargs = with_tensors(
            self.args, self.kwargs, lambda place, _: tensors[place]
        )
        return self.func(*args, **kwargs)


@dataclass
class WeightLayer:
    """A quantized weight and all calls that multiply with it.

    Args:
        name: Of the parameter.
        shape: Of the weight.
        start: Of its first element among those of the parameter: it may be one of
            several weights that are packed in one.
        quantizer: Of the weight.
        calls: By site.
        biases: By site, the name of the bias: None without one, empty if it is no
            parameter.
        tied: By bias, who else reads it; it is to stay as it is.
        activations: By site, what is called on the result and on nothing else than it:
            clamps, such as ReLU, that a runtime computes together with the layer.
        products: By site, how the call is a product.
        number: Of the calls in one run of the example.
    """

    name: str
    shape: torch.Size
    start: int
    quantizer: BaseFakeQuantize
    calls: dict[Site, LayerCall] = field(default_factory=dict)
    biases: dict[Site, str | None] = field(default_factory=dict)
    tied: dict[str, str] = field(default_factory=dict)
    activations: dict[Site, list[LayerCall]] = field(default_factory=dict)
    products: dict[Site, Product] = field(default_factory=dict)
    number: int = 0

    @property
    def text(self) -> str:
        """Name of the layer in reports."""
        return f"{next(iter(self.calls))}"

    @property
    def bias(self) -> str | None:
        """Name of the bias that all calls add; None if there is no such."""
        names = set(self.biases.values())
        return (names.pop() or None) if len(names) == 1 else None

    @property
    def bias_varies(self) -> bool:
        """Whether calls may add different numbers."""
        names = set(self.biases.values())
        return len(names) > 1 or "" in names

    def weight(self, model: nn.Module) -> Tensor:
        """Return the weight as it is now, without its gradient."""
        flat = model.get_parameter(self.name).detach().reshape(-1)
        return flat[self.start : self.start + self.shape.numel()].view(self.shape)

    def grid(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the step and the zero point of each element of the weight."""
        module = self.quantizer
        both = (module.scale, module.zero_point)
        found = [
            spread(v, weight, module.settings_now, module.axis).expand_as(weight)
            for v in both
        ]
        return found[0], found[1]


def weight_layers(
    model: nn.Module,
    quantizer: Quantizer,
    batch: Any,
    run: Callable[[nn.Module, Any], Any],
    changes_weights: bool = True,
) -> list[WeightLayer]:
    """Return the weights that can be changed, in the order of the run.

    Weights packed in one parameter, as those of attention, are layers of their own. A
    warning names those that cannot be changed: a forward computes them, they are
    rounded in several ways, something else reads them too, or the batch does not get to
    them.

    Args:
        model: The model.
        quantizer: Prepared for it.
        batch: What to run it on once.
        run: Runs it.
        changes_weights: Leave out weights that something else reads too. Without it,
            nothing but biases are to be changed.
    """
    with quantizer.in_float():
        flow = flow_of(model, batch, run)
    layers: dict[tuple, WeightLayer] = {}
    skipped: dict[Site, str] = {}
    for call in flow.calls:
        where = quantizer.places.weights.get(call.site)
        if where is None:
            continue
        place = _place(model, call, where)
        if place is None:
            skipped[call.site] = "its weight is computed as the model runs"
            continue
        module: Any = quantizer.step_at(call.site).weight
        layer = layers.setdefault(place, WeightLayer(*place, module))
        if not _agree(layer.quantizer, module):
            skipped[call.site] = f"{layer.name} is rounded in several ways"
        layer.number += 1
        has_bias = len(call.inputs) > 2
        layer.biases[call.site] = (
            flow.names.get(call.inputs[2], "") if has_bias else None
        )
        layer.calls[call.site] = LayerCall.of(call)
        layer.activations[call.site] = list(_activations(call, flow))
        settings = call.args, call.kwargs, len(layer.shape) - 2
        layer.products[call.site] = Product.of(call.kind, *settings)
    use = ParameterUse(model, flow)
    for layer in layers.values():
        others = _other_readers(model, layer, use) if changes_weights else []
        if others:
            reason = f"its weight is also read by {listed(others)}"
            skipped |= dict.fromkeys(layer.calls, reason)
        layer.tied = _tied_biases(model, layer, use)
    seen = {call.site for call in flow.calls}
    unseen = [site for site in quantizer.layers() if site not in seen]
    skipped |= dict.fromkeys(unseen, "the first batch does not get there")
    if skipped:
        reasons = "; ".join(f"'{site}': {why}" for site, why in skipped.items())
        print_log(
            f"Weights that stay as they are: {reasons}.",
            logger="current",
            level=logging.WARNING,
        )
    return [la for la in layers.values() if not la.calls.keys() & skipped.keys()]


def baked_(
    model: nn.Module, quantizer: Quantizer, layer: WeightLayer, integers: Tensor
) -> None:
    """Give a weight the numbers that integers stand for; the float ones are kept.

    Args:
        model: The model.
        quantizer: Prepared for it, and calibrated.
        layer: The layer.
        integers: In the shape of its weight.
    """
    module = layer.quantizer
    parameter = model.get_parameter(layer.name)
    group = module.settings_now.group_size
    numbers = (module.scale, module.zero_point, module.axis, group)
    with torch.no_grad():
        values = module.rounded(dequantized(integers, *numbers).to(parameter.dtype))
        whole = parameter.detach().flatten().clone()
        whole[layer.start : layer.start + values.numel()] = values.flatten()
    changed_(model, quantizer, layer.name, whole.view(parameter.shape))


def _place(
    model: nn.Module, call: Call, where: Weight
) -> tuple[str, torch.Size, int] | None:
    """Return the parameter of a weight, its shape and where it begins in that."""
    parameters = dict(model.named_parameters())
    tensor = flat_tensors(call.args, call.kwargs)[1]
    if where.name in parameters:
        return where.name or "", tensor.shape, 0
    whole = parameters.get(where.parameter or "")
    if whole is None or not (whole.is_contiguous() and tensor.is_contiguous()):
        return None
    if whole.untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr():
        return None  # a copy in another order
    start = tensor.storage_offset() - whole.storage_offset()
    return where.parameter or "", tensor.shape, int(start)


def _other_readers(
    model: nn.Module, layer: WeightLayer, use: ParameterUse
) -> list[str]:
    """Return who reads a weight that is none of its layer's calls."""
    whole = model.get_parameter(layer.name)
    part = whole if whole.shape == layer.shape else layer.weight(model)
    return use.others(
        part,
        lambda call, place: call.site in layer.calls and place == 1,
        {site.module for site in layer.calls} | {layer.name.rpartition(".")[0]},
    )


def _tied_biases(
    model: nn.Module, layer: WeightLayer, use: ParameterUse
) -> dict[str, str]:
    """Return the biases of a layer that others read too, with who does."""
    found = {}
    for name in filter(None, layer.biases.values()):

        def is_own(call: Call, place: int, name: str = name) -> bool:
            return layer.biases.get(call.site) == name and place == 2

        modules = {site.module for site in layer.calls} | {name.rpartition(".")[0]}
        others = use.others(model.get_parameter(name), is_own, modules)
        if others:
            found[name] = listed(others)
    return found


def _agree(one: BaseFakeQuantize, other: BaseFakeQuantize) -> bool:
    if one is other:
        return True
    if one.settings_now != other.settings_now:
        return False
    pairs = ((one.scale, other.scale), (one.zero_point, other.zero_point))
    return all(torch.equal(*pair) for pair in pairs)


def _activations(call: Call, flow: Flow) -> Iterator[LayerCall]:
    value = call.outputs[0]
    following = flow.sole_user(value)
    while following is not None and following.kind == "clamp":
        if len(following.inputs) != 1:
            return
        yield LayerCall.of(following)
        value = following.outputs[0]
        following = flow.sole_user(value)
