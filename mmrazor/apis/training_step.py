# Pruning looks at training twice: for gradients that rank channels, and to see whether
# the small model can be trained. Both take the training forward, with norms that use
# their running statistics and without dropout, so that batches of one image are fine
# and nothing is random but what the model's own losses draw.
"""Run a model as in training, without changing it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..core.copying import copied
from ..core.forward import as_in_training
from ..core.graph.training import training_inputs

Trial = Callable[[nn.Module], None]


@contextmanager
def training_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into train mode with all gradients on; everything comes back.

    Stages that the host freezes get gradients too: they can be pruned.
    """
    with as_in_training(model), torch.enable_grad():
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        yield


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
    refusal = ""
    for given in (extra, _without_masks(extra)):
        trial = partial(_train_once, given)
        try:
            trial(model)
        except Exception as err:  # noqa: BLE001 - user code may raise anything
            text = str(err).splitlines()[0] if str(err) else ""
            refusal = refusal or f"{type(err).__name__}: {text}"
        else:
            return trial, ""
    return None, f"the example inputs do not train it: {refusal}"


def _train_once(inputs: Mapping[str, Any], model: nn.Module) -> None:
    trained: Any = copied(model)
    with torch.random.fork_rng([]), training_mode(trained):
        torch.manual_seed(0)
        losses = trained(**copy.deepcopy(dict(inputs)))
        trained.parse_losses(losses)[0].backward()


def _without_masks(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs as detectors without masks have them; some trip over masks."""
    samples = copy.deepcopy(inputs.get("data_samples"))
    for sample in samples or []:
        instances = getattr(sample, "gt_instances", None)
        if instances is not None and "masks" in instances:
            del instances.masks
    return {**inputs, "data_samples": samples}
