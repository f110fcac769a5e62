"""Find the module in which a model fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..forward import call_model
from .trace import followed, running_plain

Run = Callable[[nn.Module], object]


def inference(model: nn.Module, inputs: Any) -> object:
    """Run a model as it is traced."""
    with running_plain(model):
        return call_model(model, inputs)


def failing_modules(model: nn.Module, run: Run) -> list[str]:
    """Return the modules in which a model raises, innermost last; none if it runs.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Linear(4, 1))
        >>> failing_modules(net, lambda model: model(torch.zeros(1, 2)))
        ['', '', '1']
    """
    stack = [""]
    with followed(model, stack):
        try:
            run(model)
        except Exception:  # noqa: BLE001 - user code may raise anything
            return stack
    return []
