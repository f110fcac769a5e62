"""Cut a model that is being trained, so that autograd and optimizer can go on."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import nn

from ...core.graph import Cuts, slim_

#: By parameter, its shape before and the kept indices of every axis that shrank.
Shrunk: TypeAlias = "dict[nn.Parameter, tuple[torch.Size, dict[int, list[int]]]]"


def cut_(model: nn.Module, cuts: Cuts) -> Shrunk:
    """Make a model smaller in place; its parameters stay the same objects.

    Args:
        model: The model that the cuts were made for.
        cuts: What stays.

    Returns:
        What became of each parameter that shrank, for the state of an optimizer.

    Raises:
        ValueError: If the cuts belong to another model.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> shrunk = cut_(layer, Cuts({'weight': {0: [2]}, 'bias': {0: [2]}}))
        >>> layer.weight.shape, shrunk[layer.bias]
        (torch.Size([1, 2]), (torch.Size([3]), {0: [2]}))
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    shrunk: Shrunk = {
        parameters[name]: (parameters[name].shape, axes)
        for name, axes in cuts.slots.items()
        if name in parameters
    }
    slim_(model, cuts)
    for parameter in shrunk:
        renew_gradient_(parameter)
    return shrunk


def renew_gradient_(parameter: nn.Parameter) -> None:
    """Make autograd forget the shape that a parameter had in earlier backward passes.

    Autograd keeps a node for every parameter, which checks gradients against the shape
    at its birth, as long as anybody holds it: the losses of the last step, or a
    distributed wrapper. It makes a new one for another type of data.
    """
    data = parameter.data
    parameter.grad = None
    other = torch.float64 if data.dtype != torch.float64 else torch.float32
    parameter.data = torch.empty(0, dtype=other, device=data.device)
    parameter.data = data
