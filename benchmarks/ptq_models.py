"""The models of ``ptq_vs_peers.py``, with the images that they are calibrated on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from efficientnet_lite import Lite, lite
from photos import photos
from torch import Tensor, nn

MODELS = ("lite0", "resnet18")
_NUM_IMAGES = 32


@dataclass(frozen=True)
class Subject:
    """A model and images.

    Args:
        name: Of the model.
        model: In eval mode.
        calibration: Images to calibrate on, shape ``(32, 3, 224, 224)``.
        images: Images to judge on.
        logits: What the float model says of them.
    """

    name: str
    model: nn.Module
    calibration: Tensor
    images: Tensor
    logits: Tensor


class Plain(nn.Module):
    """EfficientNet-Lite that gives logits alone, as FX mode cannot trace a choice.

    Args:
        model: The network.
    """

    def __init__(self, model: Lite) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images, ``(B, 1000)``."""
        return self.model.logits(x)


def subject(name: str, downloads: Path) -> Subject:
    """Return a model: EfficientNet-Lite0 as trained, or ResNet-18 with random weights.

    Args:
        name: One of ``MODELS``.
        downloads: Where weights and photos are, or will be fetched to.
    """
    torch.manual_seed(0)
    images, _ = photos(downloads)
    if name == "lite0":
        model: nn.Module = Plain(lite(0, downloads))
    else:
        model = torchvision.models.resnet18(weights=None)
    model.eval()
    calibration = torch.cat([images, images.flip(-1)])[:_NUM_IMAGES]
    return Subject(name, model, calibration, images, run(model, images))


@torch.no_grad()
def run(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of images, one image at a time, as all sides see them."""
    return torch.cat([model(image[None]) for image in images])
