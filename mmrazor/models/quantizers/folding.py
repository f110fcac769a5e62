# A batch norm that is called on what a convolution made, and nobody else reads, is part
# of the convolution (Jacob et al., 2018, arXiv:1712.05877, section 3.2). Which one
# that is, the run tells: neither the order of modules nor their classes do.
"""Fold batch norms into the layers before them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .flow import Call, Flow
from .functions import WEIGHTED
from .parameter_use import ParameterUse, listed
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


@dataclass(frozen=True)
class Foldable:
    """The batch norms behind layers of a model.

    Args:
        folds: Those that are part of the layer before them.
        kept: By site, why another one is not.
    """

    folds: list[Fold]
    kept: dict[Site, str]


def folds_of(model: nn.Module, flow: Flow) -> list[Fold]:
    """Return the batch norms that can be folded; see :func:`foldable`."""
    return foldable(model, flow).folds


def foldable(model: nn.Module, flow: Flow) -> Foldable:
    """Return the batch norms that can be folded, and why others cannot.

    A norm changes the weight and the bias of the layer before it: nobody else may read
    them, nor what the layer makes, nor what the norm itself holds.

    Args:
        model: The model.
        flow: A run of it in eval mode.
    """
    layers = Counter(call.site.module for call in flow.calls if call.kind in WEIGHTED)
    norms = Counter(call.site.module for call in flow.calls if call.kind == "norm")
    together: defaultdict[Fold, list[Call]] = defaultdict(list)
    kept: dict[Site, str] = {}
    for call in flow.calls:
        maker = flow.makers.get(call.inputs[0]) if call.kind == "norm" else None
        if maker is None or maker.kind not in WEIGHTED:
            continue
        if maker.kind == "linear" and call.args[0].dim() != 2:
            continue  # the norm's channels are not the layer's
        reason = _reason_apart(model, maker, call, flow)
        if reason:
            kept.setdefault(call.site, reason)
        else:
            together[Fold(maker.site, call.site)].append(maker)
    use = ParameterUse(model, flow) if together else None
    folds = []
    for fold, makers in together.items():
        layer, norm = fold.layer.module, fold.norm.module
        # A head that all levels share calls both several times, each time together.
        if not layers[layer] == norms[norm] == len(makers):
            kept.setdefault(
                fold.norm,
                f"the norm is called {norms[norm]} times, '{layer}' {layers[layer]} "
                f"times, and {len(makers)} times one behind the other",
            )
        elif fold.norm not in kept:
            assert use is not None
            reason = _reason_tied(model, fold, makers, use)
            if reason:
                kept[fold.norm] = reason
            else:
                folds.append(fold)
    return Foldable([fold for fold in folds if fold.norm not in kept], kept)


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
        _replace_(model, norm, nn.Identity())
        _make_idle_(norm)


def _replace_(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module wherever another one is held: several parents may share it."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new


def _make_idle_(norm: Any) -> None:
    """Let a norm return what it is given, for what holds it otherwise than torch does.

    Its tensors are replaced, not changed: others may hold them too.
    """
    mean, variance = norm.running_mean, norm.running_var
    norm.running_mean = torch.zeros_like(mean)
    norm.running_var = torch.full_like(variance, 1 - norm.eps)
    if getattr(norm, "weight", None) is not None:
        norm.weight = nn.Parameter(torch.ones_like(norm.weight))
    if getattr(norm, "bias", None) is not None:
        norm.bias = nn.Parameter(torch.zeros_like(norm.bias))


def along(values: Tensor, axis: int, like: Tensor) -> Tensor:
    """Return one value for each index of an axis, in a shape that broadcasts.

    Example:
        >>> along(torch.ones(4), 1, torch.zeros(2, 4, 3)).shape
        torch.Size([1, 4, 1])
    """
    shape = [1] * like.dim()
    shape[axis] = -1
    return values.reshape(shape)


def _reason_apart(model: nn.Module, maker: Call, call: Call, flow: Flow) -> str:
    """Return why a norm is not part of what made its input, empty if it may be."""
    value = call.inputs[0]
    readers = [user for user, _ in flow.users.get(value, []) if user is not call]
    if readers:
        sites = dict.fromkeys(f"'{one.text}'" for one in readers)
        return f"what '{maker.site}' makes is also read by {listed(sites)}"
    if value in flow.results:
        return f"what '{maker.site}' makes is also a result of the model"
    if not _is_layer(model, maker, flow):
        return f"'{maker.site}' is not the forward of a layer with a weight of its own"
    if not _is_norm(model, call, flow):
        return "it is not the forward of a norm with statistics of its own"
    return ""


def _reason_tied(
    model: nn.Module, fold: Fold, makers: list[Call], use: ParameterUse
) -> str:
    """Return who else reads what a fold would change, empty if nobody does."""
    own, places = {id(call) for call in makers}, {"weight": 1, "bias": 2}
    layer: Any = model.get_submodule(fold.layer.module)
    for name, place in places.items():
        tensor = getattr(layer, name, None)
        if tensor is None:
            continue

        def is_own(call: Call, at: int, place: int = place) -> bool:
            return id(call) in own and at == place

        others = use.others(tensor, is_own, {fold.layer.module})
        if others:
            return f"the {name} of '{fold.layer}' is also read by {listed(others)}"
    norm: Any = model.get_submodule(fold.norm.module)
    for tensor in (*norm._parameters.values(), *norm._buffers.values()):
        if tensor is None:
            continue
        # Another norm may hold it as well: it keeps what it has.
        holders = set(use.holders(tensor))

        def is_holder(call: Call, _: int, names: set[str] = holders) -> bool:
            return call.site.module in names

        others = use.others(tensor, is_holder, holders)
        if others:
            return f"what '{fold.norm}' holds is also read by {listed(others)}"
    return ""


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
