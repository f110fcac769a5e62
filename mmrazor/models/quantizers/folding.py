# A batch norm that is called on what a convolution made, and nobody else reads, is part
# of the convolution (Jacob et al., 2018, arXiv:1712.05877, section 3.2). Which one
# that is, the run tells: neither the order of modules nor their classes do.
"""Fold batch norms into the layers before them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .flow import Call, Flow
from .functions import WEIGHTED
from .sites import Site

_FORWARDS = {
    kind.forward
    for kind in (
        *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear),
        *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    )
}


@dataclass(frozen=True)
class Fold:
    """A batch norm and the layer before it.

    Args:
        layer: Site of the layer.
        norm: Site of the batch norm.
    """

    layer: Site
    norm: Site

    def factor(self, model: nn.Module) -> Tensor:
        """Return what the norm multiplies each channel by, shape ``(C,)``."""
        norm: Any = model.get_submodule(self.norm.module)
        deviation = torch.sqrt(norm.running_var + norm.eps)
        weight = getattr(norm, "weight", None)
        factor: Tensor = (1 if weight is None else weight) / deviation
        return factor


def folds_of(model: nn.Module, flow: Flow) -> list[Fold]:
    """Return the batch norms that can be folded.

    Args:
        model: The model.
        flow: A run of it in eval mode.
    """
    layers = Counter(call.site.module for call in flow.calls if call.kind in WEIGHTED)
    norms = Counter(call.site.module for call in flow.calls if call.kind == "norm")
    together: Counter[Fold] = Counter()
    for call in flow.calls:
        maker = flow.makers.get(call.inputs[0]) if call.kind == "norm" else None
        if maker is None or maker.kind not in WEIGHTED:
            continue
        if maker.kind == "linear" and call.args[0].dim() != 2:
            continue  # the norm's channels are not the layer's
        alone = flow.sole_user(call.inputs[0]) is call
        if alone and _is_layer(model, maker, flow) and _is_norm(model, call, flow):
            together[Fold(maker.site, call.site)] += 1
    # A head that all levels share calls both several times, each time together.
    return [
        fold
        for fold, times in together.items()
        if layers[fold.layer.module] == norms[fold.norm.module] == times
    ]


def fold_(model: nn.Module, folds: list[Fold]) -> None:
    """Fold batch norms in place; ``nn.Identity`` stands where they were.

    Example:
        >>> from mmrazor.models.quantizers.flow import flow_of
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
        >>> image = torch.rand(1, 3, 5, 5)
        >>> before = net(image)
        >>> fold_(net, folds_of(net, flow_of(net, image)))
        >>> torch.allclose(net(image), before, atol=1e-6), net[1]
        (True, Identity())
    """
    for fold in folds:
        layer: Any = model.get_submodule(fold.layer.module)
        norm: Any = model.get_submodule(fold.norm.module)
        factor = fold.factor(model).detach()
        weight, bias = layer.weight, layer.bias
        axis = 1 if fold.layer.kind == "conv_transpose" else 0
        with torch.no_grad():
            old = torch.zeros_like(norm.running_mean) if bias is None else bias
            shift = getattr(norm, "bias", None)
            new = (old - norm.running_mean) * factor
            new = new if shift is None else new + shift
            weight.copy_(weight * along(factor, axis, weight))
        if bias is None:
            layer.bias = nn.Parameter(new.to(weight.dtype))
        else:
            with torch.no_grad():
                bias.copy_(new)
        model.set_submodule(fold.norm.module, nn.Identity())


def along(values: Tensor, axis: int, like: Tensor) -> Tensor:
    """Return one value for each index of an axis, in a shape that broadcasts.

    Example:
        >>> along(torch.ones(4), 1, torch.zeros(2, 4, 3)).shape
        torch.Size([1, 4, 1])
    """
    shape = [1] * like.dim()
    shape[axis] = -1
    return values.reshape(shape)


def _is_layer(model: nn.Module, call: Call, flow: Flow) -> bool:
    """Tell whether a call is the forward of a module, with its weight and bias."""
    module = model.get_submodule(call.site.module)
    prefix = f"{call.site.module}." if call.site.module else ""
    if flow.names.get(call.inputs[1]) != f"{prefix}weight":
        return False
    if call.kind == "conv_transpose" and getattr(module, "groups", 1) != 1:
        return False
    known = isinstance(module, (nn.modules.conv._ConvNd, nn.Linear))
    return known and _adds_bias(module, call)


def _adds_bias(module: Any, call: Call) -> bool:
    """Tell whether a layer would add a bias, also if it has none yet."""
    if type(module).forward in _FORWARDS:
        return True
    before = module.bias
    size = module.weight.shape[1 if call.kind == "conv_transpose" else 0]
    nothing = torch.zeros_like(call.args[0])
    module.bias = nn.Parameter(module.weight.new_ones(size))
    try:
        with torch.no_grad():
            return bool((module(nothing) == 1).all())
    except (RuntimeError, TypeError, ValueError):
        return False  # it takes something else than its layer does
    finally:
        module.bias = before


def _is_norm(model: nn.Module, call: Call, flow: Flow) -> bool:
    """Tell whether a call is the forward of a module with running statistics."""
    module = model.get_submodule(call.site.module)
    prefix = f"{call.site.module}." if call.site.module else ""
    names = [flow.names.get(value) for value in call.inputs[1:3]]
    wanted = [f"{prefix}running_mean", f"{prefix}running_var"]
    return names == wanted and hasattr(module, "eps")
