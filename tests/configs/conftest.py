"""Tiny data in the folders that the configs name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrazor.apis.prepare_data.idx import FILES, idx_bytes
from mmrazor.apis.prepare_data.scenes import composed_scenes, write_split

CIFAR10 = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def _objects(rng: np.random.RandomState, num: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.zeros((num, 28, 28), dtype=np.uint8)
    images[:, 4:24, 6:22] = rng.randint(60, 256, size=(num, 20, 16))
    return images, (np.arange(num) % 10).astype(np.uint8)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data/{fashion_mnist,cifar10,scenes}`` of a few samples each."""
    root = tmp_path_factory.mktemp("run")
    rng = np.random.RandomState(0)
    images, labels = _objects(rng, 40)
    fashion = root / "data/fashion_mnist"
    fashion.mkdir(parents=True)
    for name in FILES:
        content = images if "images" in name else labels
        (fashion / name).write_bytes(idx_bytes(content))
    for split in ("train", "test"):
        for name in CIFAR10:
            folder = root / "data/cifar10" / split / name
            folder.mkdir(parents=True)
            pixels = rng.randint(0, 256, size=(32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "0.png")
    grounds = [rng.randint(0, 256, size=(256, 256)).astype(np.uint8)]
    for split in ("train", "test"):
        scenes = composed_scenes(split, images, labels, grounds, 4, 160, seed=0)
        write_split(root / "data/scenes", split, scenes)
    return root
