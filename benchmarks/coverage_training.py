"""A real step of training of a pruned model, as the coverage benchmark takes it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from coverage_stage import one_line
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmrazor.core.forward import call_model
from mmrazor.core.graph.trace import tensors_in
from mmrazor.core.graph.training import training_inputs

_RATE = 1e-4


def trained(
    model: nn.Module, original: Callable[[], nn.Module], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Take a training step with a model that was pruned; say how it went.

    Args:
        model: The pruned model.
        original: Builds the original, to see whether that trains on the inputs.
        inputs: What the model is called with; several images, if norms need them.

    Returns:
        What :func:`training_step` does, or why the original does not train either.

    Raises:
        Exception: Whatever the pruned model raises if the original does not.
    """
    try:
        return training_step(model, inputs)
    except Exception:
        try:
            training_step(original(), inputs)
        except Exception as err:  # noqa: BLE001 - hosts raise anything
            return {"original_does_not_train": one_line(err)}
        raise


def training_step(model: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Run a model in train mode, and take one step of SGD down its loss.

    The loss is that of the host if it has one for the inputs; of any other model, the
    mean square of every floating-point output.

    Args:
        model: Is changed.
        inputs: What it is called with.

    Returns:
        The loss, and how many parameters it changed.

    Raises:
        ValueError: If no output depends on a parameter.
    """
    torch.manual_seed(0)
    model.train()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=_RATE)
    loss = training_loss(model, copy.deepcopy(dict(inputs)))
    loss.backward()
    optimizer.step()
    pairs = zip(before, model.parameters(), strict=True)
    moved = sum(not torch.equal(old, new) for old, new in pairs)
    return {"loss": loss.item(), "parameters_trained": moved}


def training_loss(model: nn.Module, inputs: dict[str, Any]) -> Tensor:
    """Return the loss of a model in train mode."""
    given = training_inputs(model, inputs)
    if given is None and inputs.get("mode") == "loss":
        given = inputs
    if isinstance(model, BaseModel) and given is not None:
        return model.parse_losses(model(**given))[0]
    if type(model).__module__.startswith("torchvision.models.detection"):
        inputs["targets"] = [_target(image) for image in inputs["images"]]
        return sum(model(**inputs).values(), torch.zeros(()))
    floats = (t for t in tensors_in(call_model(model, inputs)) if t.requires_grad)
    squares = [tensor.float().square().mean() for tensor in floats]
    if not squares:
        raise ValueError("No output of train mode depends on a parameter.")
    return torch.stack(squares).sum()


def _target(image: Tensor) -> dict[str, Tensor]:
    """Return the labels of an image with one object in its middle."""
    height, width = image.shape[-2:]
    box = torch.tensor([[width / 4, height / 4, 3 * width / 4, 3 * height / 4]])
    masks = torch.zeros(1, height, width, dtype=torch.uint8)
    masks[:, height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    middle = torch.tensor([width / 2, height / 2, 1.0]).expand(1, 17, 3)
    label = torch.ones(1, dtype=torch.int64)
    return {"boxes": box, "labels": label, "masks": masks, "keypoints": middle}
