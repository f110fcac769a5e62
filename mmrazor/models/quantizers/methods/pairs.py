# The run tells which layer reads what another one makes: neither names nor classes of
# modules do.
"""Pairs of layers with nothing between them that keeps scales of channels apart."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor, nn

from ..flow import Call, Flow
from ..functions import WEIGHTED
from ..parameter_use import ParameterUse
from ..sites import flat_tensors
from .products import Product

#: Of what is scaled by a number above 0, they return the same scaled: relu and its
#: like by element, pooling by channel.
_SCALED = frozenset(
    {"relu", "leaky_relu", "prelu", "dropout", "dropout2d", "dropout3d"}
    | {"feature_dropout", "contiguous", "detach", "clone"}
)
_POOLS = frozenset({"max_pool", "avg_pool"})
_FLATTENED = frozenset({"flatten", "view", "reshape", "squeeze"})


@dataclass(frozen=True)
class Factor:
    """A layer as a factor of the product that a pair is.

    Args:
        site: Of the call.
        weight: Name of its weight.
        bias: Name of its bias, None without.
        product: How the call is a product.
    """

    site: str
    weight: str
    bias: str | None
    product: Product


@dataclass(frozen=True)
class Pair:
    """Two layers, the second of which reads what the first one makes.

    Args:
        first: Makes it.
        second: Reads it.
        channels: Number of the channels between them; of a second layer behind
            ``flatten`` each is several inputs.
    """

    first: Factor
    second: Factor
    channels: int


def pairs_of(model: nn.Module, flow: Flow) -> tuple[list[Pair], list[Call]]:
    """Return the pairs in a run, and clamps that are in the way of more.

    Args:
        model: The model.
        flow: A run of it, with batch norms folded.

    Example:
        >>> import torch
        >>> from mmrazor.models.quantizers.flow import flow_of
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> [pair], _ = pairs_of(net, flow_of(net, torch.rand(1, 4)))
        >>> pair.first.weight, pair.second.weight, pair.channels
        ('0.weight', '2.weight', 3)
    """
    pairs, clamps = [], []
    use = ParameterUse(model, flow)
    for call in flow.calls:
        first = _factor(model, call, flow, use) if call.kind in WEIGHTED else None
        if first is None:
            continue
        given = _given(call)
        axis = 1 if call.kind != "linear" else given.dim() - 1
        weight = model.get_parameter(first.weight)
        channels = weight.shape[0]
        if call.kind == "conv_transpose":
            channels = weight.shape[1] * first.product.groups
        end, axis = _end(call, flow, axis)
        if end is None:
            continue
        if end.kind == "clamp":
            clamps.append(end)
        second = _factor(model, end, flow, use) if end.kind in WEIGHTED else None
        wanted = 1 if end.kind != "linear" else _given(end).dim() - 1
        if second is not None and axis == wanted and second.weight != first.weight:
            pairs.append(Pair(first, second, channels))
    return pairs, clamps


def _factor(
    model: nn.Module, call: Call, flow: Flow, use: ParameterUse
) -> Factor | None:
    """Return a layer whose parameters nobody else uses, None for another."""
    names: list[str | None] = [flow.names.get(value) for value in call.inputs[1:]]
    if None in names:
        return None
    for place, name in enumerate(filter(None, names), start=1):

        def is_own(one: Call, at: int, place: int = place) -> bool:
            return one is call and at == place

        modules = {name.rpartition(".")[0], call.site.module}
        if use.others(model.get_parameter(name), is_own, modules):
            return None
    weight = model.get_parameter(names[0] or "")
    if call.kind != "linear" and _given(call).dim() != weight.dim():
        return None  # one image without an axis for it
    product = Product.of(call.kind, call.args, call.kwargs, weight.dim() - 2)
    bias = names[1] if len(names) > 1 else None
    return Factor(f"{call.site}", names[0] or "", bias, product)


def _end(call: Call, flow: Flow, axis: int) -> tuple[Call | None, int]:
    """Return what is behind all that scales go through, and the axis of channels."""
    value = call.outputs[0]
    while True:
        following = flow.sole_user(value)
        if following is None or following.inputs[0] != value:
            return None, axis
        name = getattr(following.func, "__name__", "").removesuffix("_")
        if name in _FLATTENED:
            found = _flattened(following, flow, axis)
            if found is None:
                return None, axis
            axis = found
        elif following.kind in _POOLS:
            if axis != 1 or len(following.outputs) != 1:
                return None, axis
        elif name not in _SCALED and not _is_relu(following, name):
            return following, axis
        value = following.outputs[0]


def _is_relu(call: Call, name: str) -> bool:
    """Tell whether a clamp has no upper end, and 0 as its lower one."""
    ends: dict[str, Any] = dict(zip(("min", "max"), call.args[1:], strict=False))
    ends |= call.kwargs
    if name not in ("clamp", "clip", "clamp_min"):
        return False
    least, most = ends.get("min"), ends.get("max")
    return isinstance(least, (int, float)) and least == 0 and most is None


def _flattened(call: Call, flow: Flow, axis: int) -> int | None:
    """Return the axis of channels behind a call that makes one axis of all."""
    following = flow.sole_user(call.outputs[0])
    if following is None or following.inputs[0] != call.outputs[0]:
        return None
    old, new = _given(call).shape, _given(following).shape
    if old == new:
        return axis
    return 1 if axis == 1 and new == (old[0], prod(old[1:])) else None


def _given(call: Call) -> Tensor:
    return flat_tensors(call.args, call.kwargs)[0]
