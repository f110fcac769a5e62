# Weights come in many ways: a checkpoint of the whole, an ``init_cfg`` of the backbone
# alone. All of them end in torch's loading of a module, which asks hooks first.
"""Load float weights into folded layers, and a Quantizer's state into its places."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .folding import Fold, along

_OF_NORM = ("running_mean", "running_var", "weight", "bias", "num_batches_tracked")


@dataclass(frozen=True)
class Folded:
    """A batch norm that was folded.

    Args:
        layers: Names of the layer that it went into: several parents may share it.
        norms: Its own names.
        eps: Its smallest variance.
        axis: Of the layer's output channels.
    """

    layers: tuple[str, ...]
    norms: tuple[str, ...]
    eps: float
    axis: int


def norms_of(model: nn.Module, folds: Iterable[Fold]) -> list[Folded]:
    """Return what is left to know of batch norms that will be folded."""
    names: defaultdict[nn.Module, list[str]] = defaultdict(list)
    for name, module in model.named_modules(remove_duplicate=False):
        names[module].append(name)
    found = []
    for fold in folds:
        layer: Any = model.get_submodule(fold.layer.module)
        norm: Any = model.get_submodule(fold.norm.module)
        axis = 1 if fold.layer.kind == "conv_transpose" else 0
        both = tuple(names[layer]), tuple(names[norm])
        found.append(Folded(*both, norm.eps, axis))
    return found


class FoldInState:
    """Fold batch norms in a state dict that a module is about to load.

    Args:
        name: Of the module in the model.
        folded: The norms that the model had.
    """

    def __init__(self, name: str, folded: Iterable[Folded]) -> None:
        self.lead = f"{name}." if name else ""
        self.folded = [
            one
            for one in folded
            if any(norm.startswith(self.lead) for norm in one.norms)
        ]

    def __call__(
        self, state: MutableMapping[str, Tensor], prefix: str, *_: Any
    ) -> None:
        """Change the state if it is that of a model with batch norms."""
        for one in self.folded:
            layers, norms = (
                [
                    prefix + name.removeprefix(self.lead)
                    for name in names
                    if name.startswith(self.lead)
                ]
                for names in (one.layers, one.norms)
            )
            layers = [name for name in layers if f"{name}.weight" in state]
            norms = [name for name in norms if f"{name}.running_var" in state]
            if layers and norms:
                _fold_in_state_(state, layers, norms, one)


def accept_float_weights_(model: nn.Module, folded: list[Folded]) -> None:
    """Let a model whose batch norms are folded load weights from before.

    Args:
        model: The folded model.
        folded: What was folded.

    Example:
        >>> import copy
        >>> from mmrazor.models.quantizers.flow import flow_of
        >>> from mmrazor.models.quantizers.folding import fold_, folds_of
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
        >>> image = torch.rand(1, 3, 5, 5)
        >>> state, before = copy.deepcopy(net.state_dict()), net(image)
        >>> folds = folds_of(net, flow_of(net, image))
        >>> norms = norms_of(net, folds)
        >>> fold_(net, folds)
        >>> accept_float_weights_(net, norms)
        >>> _ = net.load_state_dict(state)
        >>> torch.allclose(net(image), before, atol=1e-6)
        True
    """
    names = {""}
    for norm in (norm for one in folded for norm in one.norms):
        parts = norm.split(".")
        names |= {".".join(parts[:i]) for i in range(1, len(parts))}
    for name in sorted(names):
        hook = FoldInState(name, folded)
        model.get_submodule(name)._register_load_state_dict_pre_hook(hook)


def lacking(
    parts: Mapping[str, nn.ModuleDict], state: Mapping[str, Any], prefix: str
) -> dict[str, set[str]]:
    """Return the quantizers that a state dict knows nothing of, by part.

    There are none if it has no quantizer at all.

    Args:
        parts: Quantizers by part and key.
        state: The state dict.
        prefix: Of their owner's names in it.
    """
    found = {name: {_key(k, f"{prefix}{name}.") for k in state} for name in parts}
    if not any(keys - {None} for keys in found.values()):
        return {name: set() for name in parts}
    return {name: set(part.keys()) - found[name] for name, part in parts.items()}


def _key(name: str, prefix: str) -> str | None:
    return name[len(prefix) :].split(".")[0] if name.startswith(prefix) else None


def _fold_in_state_(
    state: MutableMapping[str, Tensor],
    layers: list[str],
    norms: list[str],
    one: Folded,
) -> None:
    """Fold a norm into its layer, under all names that they have in a state dict."""
    found = [
        {key: state.pop(f"{norm}.{key}", None) for key in _OF_NORM} for norm in norms
    ]
    mean, variance, scale, shift, _ = found[0].values()
    assert mean is not None
    assert variance is not None
    factor = (1 if scale is None else scale) / torch.sqrt(variance + one.eps)
    for layer in layers:
        weight = state[f"{layer}.weight"]
        bias = (state.get(f"{layer}.bias", torch.zeros_like(mean)) - mean) * factor
        state[f"{layer}.weight"] = weight * along(factor, one.axis, weight)
        state[f"{layer}.bias"] = bias if shift is None else bias + shift
