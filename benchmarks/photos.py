"""Photos from packages: 20 of ImageNet with classes, and views without a class."""

from __future__ import annotations

import io
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmrazor.apis.prepare_data.download import Artifact, Fetcher

PHOTOS = Artifact(
    "foolbox-3.3.4-py3-none-any.whl",
    "sha256:11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
    "pip",
    "foolbox==3.3.4",
)
LANDSCAPES = Artifact(
    "mate-backgrounds.deb",
    "sha256:7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04",
    "apt",
    "mate-backgrounds",
)
_FOLDER = "usr/share/backgrounds/mate/nature"
_VIEWS = 6


def photos(downloads: Path, pixels: int = 224) -> tuple[Tensor, Tensor]:
    """Return 20 photos of ImageNet, ``(20, 3, H, W)``, and their classes.

    Args:
        downloads: Where packages are kept.
        pixels: Height and width.
    """
    images, labels = [], []
    with zipfile.ZipFile(Fetcher(downloads).obtain(PHOTOS)) as package:
        for name in sorted(package.namelist()):
            if "/imagenet_" in name:
                labels.append(int(Path(name).stem.rpartition("_")[2]))
                image = Image.open(io.BytesIO(package.read(name)))
                images.append(_middle(image, pixels))
    return torch.stack(images), torch.tensor(labels)


def views(downloads: Path, pixels: int = 224) -> Tensor:
    """Return six views of each of the nature photos of a wallpaper package.

    Args:
        downloads: Where packages are kept.
        pixels: Height and width.
    """
    package = Fetcher(downloads).obtain(LANDSCAPES)
    folder = package.with_suffix("")
    if not (folder / _FOLDER).is_dir():
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    found = []
    for path in sorted((folder / _FOLDER).glob("*.jpg")):
        image = Image.open(path).convert("RGB")
        width, height = image.size
        side = min(height / 2, width / 3)
        for view in range(_VIEWS):
            row, column = divmod(view, 3)
            left, top = column * width / 3, row * height / 2
            box = (left, top, left + side, top + side)
            found.append(_tensor(image, pixels, box))
    return torch.stack(found)


def _middle(image: Image.Image, pixels: int) -> Tensor:
    """Return the middle of a photo as the networks were tested on it."""
    image = image.convert("RGB")
    side = pixels / (pixels + 32) * min(image.size)
    left, top = ((size - side) / 2 for size in image.size)
    return _tensor(image, pixels, (left, top, left + side, top + side))


def _tensor(
    image: Image.Image, pixels: int, box: tuple[float, float, float, float]
) -> Tensor:
    left, top, right, bottom = (round(edge) for edge in box)
    small = image.resize(
        (pixels, pixels), Image.Resampling.BICUBIC, box=(left, top, right, bottom)
    )
    array = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)
    return array / 127.5 - 1
