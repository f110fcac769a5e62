# Pruning looks at training twice: for gradients that rank channels, and to see whether
# the small model can be trained. Both take the training forward, with norms that use
# their running statistics and without dropout, so that batches of one image are fine
# and nothing is random but what the model's own losses draw.
"""Run a model as in training, without changing it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..core.graph.training import training_inputs

_BatchNorm = nn.modules.batchnorm._NormBase
_Dropout = nn.modules.dropout._DropoutNd
Trial = Callable[[nn.Module], None]


@contextmanager
def training_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into train mode with all gradients on; everything comes back.

    Stages that the host freezes get gradients too: they can be pruned.
    """
    modes = {module: module.training for module in model.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.train()
    for module in modes:
        if isinstance(module, (_BatchNorm, _Dropout)):
            module.eval()
    for parameter in wanted:
        parameter.requires_grad_(parameter.is_floating_point())
    try:
        with torch.enable_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, wants in wanted.items():
            parameter.requires_grad_(wants)


def loss_of(model: BaseModel, batch: Any) -> Tensor:
    """Return the loss of one batch of a training set, before preprocessing."""
    data = model.data_preprocessor(batch, True)
    if isinstance(data, Mapping):
        losses = model(**data, mode="loss")
    else:
        losses = model(*data, mode="loss")
    return model.parse_losses(losses)[0]


def training_trial(model: nn.Module, inputs: Any) -> tuple[Trial | None, str]:
    """Return a function that takes a training step with a copy of a model.

    Args:
        model: The model before pruning; it has to pass itself.
        inputs: Example inputs; their data samples hold the labels.

    Returns:
        The function, which raises what the model raises, or ``None`` and the reason.
    """
    extra = training_inputs(model, inputs)
    if extra is None and isinstance(inputs, Mapping) and inputs.get("mode") == "loss":
        extra = dict(inputs)
    if extra is None or not isinstance(model, BaseModel):
        return None, f"{type(model).__name__} has no loss mode"

    def trial(candidate: nn.Module) -> None:
        trained: Any = copy.deepcopy(candidate)
        with torch.random.fork_rng([]), training_mode(trained):
            torch.manual_seed(0)
            losses = trained(**copy.deepcopy(extra))
            trained.parse_losses(losses)[0].backward()

    try:
        trial(model)
    except Exception as err:  # noqa: BLE001 - user code may raise anything
        text = str(err).splitlines()[0] if str(err) else ""
        return None, f"the example inputs do not train it: {type(err).__name__}: {text}"
    return trial, ""
