"""Find the weights of a model that an N:M pattern fits, and say why others are left."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from .masks import Pattern

_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class PrunableLayer:
    """A linear layer or convolution whose weight takes the pattern.

    Args:
        name: Name of its weight in the model, such as ``backbone.conv1.weight``.
        module: The layer.
    """

    name: str
    module: nn.Module

    @property
    def weight(self) -> Tensor:
        """The weight as it is now, shape ``(O, I, *kernel)``."""
        weight = self.module.weight
        assert isinstance(weight, Tensor)
        return weight

    @property
    def groups(self) -> int:
        """Groups of the convolution, 1 for a linear layer."""
        groups = getattr(self.module, "groups", 1)
        assert isinstance(groups, int)
        return groups


def prunable_layers(
    model: nn.Module, pattern: Pattern, skip: Sequence[str] = ()
) -> tuple[list[PrunableLayer], dict[str, str]]:
    """Return the layers that the pattern fits, and why all other weights stay dense.

    Args:
        model: Any model; nothing in it is changed.
        pattern: The pattern.
        skip: Names of modules or weights to leave dense, with all that is inside them;
            ``*`` stands for any text.

    Returns:
        The layers, and by name the reason for every other parameter of two or more
        axes. Norms and biases are not listed.

    Raises:
        ValueError: If a name in ``skip`` is nowhere in the model.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
        >>> layers, left = prunable_layers(net, Pattern(2, 4))
        >>> [layer.name for layer in layers], left
        (['1.weight'], {'0.weight': '27 inputs (3x3x3) are not divisible by 4'})
    """
    skip = (skip,) if isinstance(skip, str) else tuple(skip)
    _check_skip(model, skip)
    owners: dict[int, list[tuple[str, nn.Module]]] = defaultdict(list)
    for name, module, parameter in _weights(model):
        owners[id(parameter)].append((name, module))
    layers, left = [], {}
    for name, module, parameter in _weights(model):
        reason = _skipped(name, skip) or _unfit(name, module, parameter, pattern)
        first, _ = owners[id(parameter)][0]
        strangers = [n for n, m in owners[id(parameter)] if not isinstance(m, _KINDS)]
        if not reason and strangers:
            reason = f"it is also '{strangers[0]}', which is no layer of this kind"
        if not reason and name != first:
            reason = f"it is '{first}'"
        if reason:
            left[name] = reason
        else:
            layers.append(PrunableLayer(name, module))
    return layers, left


def _weights(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Parameter]]:
    """Yield name, owner and value of every weight, a shared one several times."""
    for prefix, module in model.named_modules():
        for own, value in module.named_parameters(recurse=False):
            lazy = isinstance(value, UninitializedParameter)
            if own != "bias" if lazy else value.dim() >= 2:
                yield f"{prefix}.{own}".lstrip("."), module, value


def _unfit(name: str, module: nn.Module, value: nn.Parameter, pattern: Pattern) -> str:
    kind = type(module).__name__
    if not isinstance(module, _KINDS):
        return f"{kind} is no linear layer or convolution"
    if name.rpartition(".")[2] != "weight":
        return f"the weight of {kind} is computed from it"
    if isinstance(value, UninitializedParameter):
        return "it has no size yet; run the model once before"
    if not torch.is_floating_point(value):
        return f"its type is {value.dtype}"
    return pattern.misfit(value.shape)


def _skipped(name: str, skip: Sequence[str]) -> str:
    found = next((entry for entry in skip if _matches(name, entry)), None)
    return f"skip has '{found}'" if found is not None else ""


def _matches(name: str, entry: str) -> bool:
    """Tell whether an entry names a weight or a module around it."""
    parts = name.split(".")
    around = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return any(fnmatchcase(part, entry) for part in around)


def _check_skip(model: nn.Module, skip: Sequence[str]) -> None:
    known = [name for name, _ in model.named_modules() if name]
    known += [name for name, _ in model.named_parameters()]
    for entry in skip:
        if not any(fnmatchcase(name, entry) for name in known):
            near = difflib.get_close_matches(entry, known, n=5, cutoff=0.4)
            raise ValueError(
                f"skip has '{entry}', which names no module or weight of "
                f"{type(model).__name__}. Near names: {', '.join(near or known[:5])}."
            )
