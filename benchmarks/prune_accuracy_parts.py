"""What ``prune_accuracy.py`` registers: images in memory, a network, a measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmpretrain.models import MobileNetV2
from mmpretrain.structures import DataSample
from PIL import Image
from torch.utils.data import Dataset

from mmrazor.core.files import write_atomically
from mmrazor.registry import DATASETS, HOOKS, MODELS

PRUNED = "score_after_pruning"


def pack_images(folder: Path, target: Path) -> None:
    """Put the pictures of a folder for each class into one array on the disk, once."""
    images, labels = target.with_suffix(".npy"), target.with_suffix(".labels.npy")
    if images.is_file() and labels.is_file():
        return
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [(file, k) for k, kind in enumerate(classes) for file in kind.glob("*.png")]
    found.sort(key=lambda item: int(item[0].stem))  # as numbered; classes are mixed
    pixels = np.stack([np.asarray(Image.open(file)) for file, _ in found])
    numbers = np.array([number for _, number in found])
    for path, array in ((labels, numbers), (images, pixels)):
        write_atomically(path, lambda part, array=array: _save(part, array))


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)


@DATASETS.register_module()
class PackedImages(Dataset):
    """Images of :func:`pack_images`, cropped and flipped at random for training.

    Reading and decoding a file for every image would cost as much as the small
    networks do.

    Args:
        path: Of the arrays, without suffix.
        number: Images to use, from the first on.
        augment: Whether to pad by 4, crop and flip.
    """

    metainfo: dict[str, Any] = {}

    def __init__(self, path: str, number: int, augment: bool = False) -> None:
        self.images = np.load(f"{path}.npy", mmap_mode="r")[:number]
        self.labels = np.load(f"{path}.labels.npy")[:number]
        self.augment = augment

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = torch.from_numpy(self.images[index].transpose(2, 0, 1).copy())
        if self.augment:
            top, left = torch.randint(0, 9, (2,)).tolist()
            height, width = image.shape[1:]
            padded = torch.nn.functional.pad(image, (4, 4, 4, 4))
            image = padded[:, top : top + height, left : left + width]
            image = image.flip(2) if torch.rand(()) < 0.5 else image
        sample = DataSample().set_gt_label(int(self.labels[index]))
        return {"inputs": image.contiguous(), "data_samples": sample}


@MODELS.register_module()
class SmallMobileNetV2(MobileNetV2):
    """MobileNetV2 for images of 32 pixels: eight blocks, strides 2, 2 and 2."""

    arch_settings = [[1, 16, 1, 1], [4, 24, 2, 1], [4, 32, 2, 2], [4, 64, 2, 2]]


@HOOKS.register_module()
class ScoreAfterPruning(Hook):
    """Validate right after the pruner has reached its budget, before training goes on.

    The metric is kept in the message hub, and so in the checkpoints.

    Args:
        metric: Name of the metric.
    """

    priority = "LOWEST"  # PruningScheduleHook prunes before the same step

    def __init__(self, metric: str) -> None:
        self.metric = metric

    def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Validate, unless the pruner still has to come or it was done before."""
        pruner = getattr(runner.model, "pruner", None)
        if not getattr(pruner, "finished", False):
            return
        if PRUNED in runner.message_hub.runtime_info:
            return
        metrics = runner.val_loop.run()
        # CocoMetric returns no metric where nothing is detected.
        score = metrics[self.metric] if metrics else 0.0
        runner.message_hub.update_info(PRUNED, float(score))
        runner.model.train()
