"""Data that benchmarks of accuracy read."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Return the folder of the packed images of a CIFAR-10 of 20 and 20."""
    from prune_accuracy_configs import pack

    noise = np.random.RandomState(0)
    for split in ("train", "test"):
        for index in range(20):
            path = tmp_path / "cifar10" / split / f"class{index % 10}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = noise.randint(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(path)
    return pack(tmp_path, tmp_path)
