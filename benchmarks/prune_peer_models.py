"""The models of the comparison with Torch-Pruning, with random weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from coverage_models import TORCHVISION
from torch import Tensor, nn

# What is small enough to say channel by channel where both sides differ.
PLAIN = ("resnet18", "vgg11_bn")
MODELS = (*TORCHVISION, *PLAIN)
_PIXELS = {"inception_v3": 299}
_OPTIONS: dict[str, dict[str, Any]] = {
    "inception_v3": {"init_weights": True},
    "googlenet": {"init_weights": True},
    "deeplabv3_resnet50": {"weights_backbone": None},
    "fasterrcnn_resnet50_fpn": {
        "weights_backbone": None,
        "min_size": 224,
        "max_size": 224,
    },
}


@dataclass(frozen=True)
class Subject:
    """A model and what it is called with.

    Args:
        name: Of the model, as torchvision calls it.
        model: In eval mode.
        inputs: A tuple of arguments.
        pixels: Height and width of the one image in it.
    """

    name: str
    model: nn.Module
    inputs: tuple[Any, ...]
    pixels: int


def subject(name: str, pixels: int = 224) -> Subject:
    """Build a model of torchvision, the same weights and image every time.

    Args:
        name: As torchvision calls it.
        pixels: Height and width of the image; more for a model that needs more.
    """
    torch.manual_seed(0)
    options = _OPTIONS.get(name, {})
    model = torchvision.models.get_model(name, weights=None, **options).eval()
    pixels = max(pixels, _PIXELS.get(name, 0))
    image = torch.rand(1, 3, pixels, pixels)
    detects = isinstance(model, torchvision.models.detection.FasterRCNN)
    return Subject(name, model, ([image[0]],) if detects else (image,), pixels)


def output_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers that make what the model returns: as many as classes.

    Torch-Pruning has to be told of them; ours sees that they are outputs.
    """
    return [
        layer
        for layer in model.modules()
        if getattr(layer, "out_features", getattr(layer, "out_channels", None))
        in (1000, 21)
    ]


def float_sum(output: Any) -> Tensor:
    """Return a sum over nested outputs, to run the backward pass from."""
    if isinstance(output, Tensor):
        return output.sum() if output.is_floating_point() else torch.zeros(())
    values = output.values() if isinstance(output, dict) else output
    return sum((float_sum(value) for value in values), torch.zeros(()))
