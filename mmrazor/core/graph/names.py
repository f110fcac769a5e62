# A parametrized weight (torch.nn.utils.parametrizations, or the older weight_norm) is
# stored in parts; for whoever reads names it is still the layer's weight.
"""Names of parameters."""

from __future__ import annotations

import re

from torch import Tensor, nn

_PART = re.compile(r"^(weight|bias)_(?:v|g|orig)$")


def owner_of(name: str) -> tuple[str, str]:
    """Return the layer that a parameter or buffer serves, and as what.

    Example:
        >>> owner_of('head.fc.weight')
        ('head.fc', 'weight')
        >>> owner_of('head.fc.parametrizations.weight.original1')
        ('head.fc', 'weight')
        >>> owner_of('head.fc.weight_v')
        ('head.fc', 'weight')
    """
    path, _, leaf = name.rpartition(".")
    head, inside, tensor = f".{path}".partition(".parametrizations.")
    if inside and "." not in tensor:  # what is inside of it serves the parametrization
        return head[1:], tensor
    return path, _PART.sub(r"\1", leaf)


def tensor_named(model: nn.Module, name: str) -> Tensor:
    """Return a parameter or buffer as it is now.

    Raises:
        AttributeError: If the model has none of that name.

    Example:
        >>> tensor_named(nn.Linear(2, 3), 'bias').shape
        torch.Size([3])
    """
    *path, leaf = name.split(".")
    module: nn.Module | None = model
    for part in path:
        module = None if module is None else module._modules.get(part)
    if module is None:  # not registered, or not there: torch finds it or tells
        module = model.get_submodule(".".join(path))
    tensor = getattr(module, leaf)
    assert isinstance(tensor, Tensor)
    return tensor
