"""Scenes: detection and segmentation sets with exact labels, from real pictures.

Fashion-MNIST objects on photographed textures. Objects of test scenes come from
Fashion-MNIST's test set, and their backgrounds from other parts of the textures.
Written as COCO json for mmdet's ``CocoDataset`` (boxes, and masks as run lengths) and
as semantic masks for mmseg's ``BaseSegDataset`` (0 background, 1 to 10 the classes)::

    annotations/{train,test}.json   images/{train,test}/000000.png
    preview.png                     masks/{train,test}/000000.png
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from . import textures
from .compose import MAX_OBJECTS, Bytes, Mask, Scene, compose_scene, texture_part
from .download import Fetcher, first_available
from .idx import read_split
from .preview import preview_picture
from .progress import tracked

CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
SPLITS = ("train", "test")
NUM_PREVIEW = 6
CANDIDATES_PER_SCENE = 2 * MAX_OBJECTS


def run_lengths(mask: Mask) -> list[int]:
    """Encode a mask as COCO's uncompressed run lengths.

    Returns:
        Lengths of runs in column order, starting with zeros.

    Example:
        >>> run_lengths(np.array([[0, 1], [1, 1]], dtype=bool))
        [1, 3]
    """
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()


def composed_scenes(
    split: str,
    images: Bytes,
    labels: Bytes,
    grounds: list[Bytes],
    num_scenes: int,
    side: int,
    seed: int,
) -> Iterator[Scene]:
    """Compose the scenes of a split; scene ``i`` does not depend on ``num_scenes``.

    Args:
        split: ``train`` or ``test``.
        images: Objects of this split, shape ``(N, 28, 28)``.
        labels: Their classes, shape ``(N,)``.
        grounds: Textures.
        num_scenes: How many scenes.
        side: Height and width of a scene, in pixels.
        seed: Decides everything that is random.
    """
    part = SPLITS.index(split)
    # RandomState, as its numbers are promised to stay the same in every NumPy.
    order = np.random.RandomState([seed, part]).permutation(len(images))
    textured = [texture_part(ground, split == "train") for ground in grounds]
    for number in range(num_scenes):
        first = number * CANDIDATES_PER_SCENE
        wanted = range(first, first + CANDIDATES_PER_SCENE)
        candidates = [int(order[i % len(order)]) for i in wanted]
        rng = np.random.RandomState([seed, part, number])
        yield compose_scene(images, labels, candidates, textured, side, rng)


def coco_annotations(
    scene: Scene, image_id: int, first_id: int
) -> list[dict[str, Any]]:
    """Return the COCO annotations of one scene.

    Args:
        scene: The scene.
        image_id: Of the scene's image.
        first_id: Of the first annotation; the others count on.
    """
    side = len(scene.image)
    return [
        {
            "id": first_id + offset,
            "image_id": image_id,
            "category_id": placed.category,
            "bbox": list(placed.box),
            "area": int(placed.mask_hw.sum()),
            "segmentation": {
                "size": [side, side],
                "counts": run_lengths(placed.mask(side)),
            },
            "iscrowd": 0,
            "object": placed.index,
        }
        for offset, placed in enumerate(scene.objects)
    ]


def write_split(folder: Path, split: str, scenes: Iterator[Scene]) -> list[Scene]:
    """Write images, masks and annotations of one split; return its first scenes."""
    for kind in ("images", "masks"):
        (folder / kind / split).mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    first: list[Scene] = []
    for number, scene in enumerate(scenes):
        name, side = f"{number:06d}.png", len(scene.image)
        Image.fromarray(scene.image).save(folder / "images" / split / name)
        Image.fromarray(scene.semantic_mask()).save(folder / "masks" / split / name)
        images.append(
            {"id": number + 1, "file_name": name, "height": side, "width": side}
        )
        annotations += coco_annotations(scene, number + 1, len(annotations) + 1)
        if number < NUM_PREVIEW:
            first.append(scene)
    content = {
        "info": {"description": f"mmrazor scenes, {split}"},
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number + 1, "name": name} for number, name in enumerate(CLASSES)
        ],
    }
    target = folder / "annotations" / f"{split}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    return first


def write_scenes(
    folder: Path,
    fetcher: Fetcher,
    objects: Callable[[], Path],
    train_scenes: int,
    test_scenes: int,
    image_size: int,
    seed: int,
) -> str:
    """Write both splits and a preview; return where the pictures came from.

    Args:
        folder: Where to write.
        fetcher: Obtains the textures.
        objects: Prepares Fashion-MNIST and returns its folder.
        train_scenes: Scenes to train on.
        test_scenes: Scenes to test on.
        image_size: Height and width of a scene, in pixels.
        seed: Decides everything that is random.
    """
    grounds, source = first_available("scenes", textures.SOURCES, fetcher)
    source_folder = objects()
    for split, num_scenes in zip(SPLITS, (train_scenes, test_scenes), strict=True):
        images, labels = read_split(source_folder, split)
        scenes = composed_scenes(
            split, images, labels, grounds, num_scenes, image_size, seed
        )
        first = write_split(
            folder, split, tracked(scenes, num_scenes, f"scenes: composing {split}")
        )
        if split == "train":
            preview_picture(first, CLASSES).save(folder / "preview.png")
    return f"Fashion-MNIST; textures: {source}"
