"""Scenes: labels that are exact, objects that are apart, seeds that repeat."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from mmrazor.apis.prepare_data import prepare
from mmrazor.apis.prepare_data.compose import cut_out, fill_holes, texture_part
from mmrazor.apis.prepare_data.idx import read_split
from mmrazor.apis.prepare_data.scenes import CLASSES, composed_scenes, run_lengths
from mmrazor.apis.prepare_data.store import content_digest

from .conftest import grey_objects

#: Digest made on Linux x86-64 with NumPy 1.26, 2.2 and 2.4, Pillow 10 and 13.
PIXELS = "fd2b5781f305c3f784ca3390f4f7800373c584ac443b2982105fee31339c0703"
SMALL = {"train_scenes": 8, "test_scenes": 3, "image_size": 96}


@pytest.fixture
def made(tmp_path, server, fashion, grounds):
    return prepare("scenes", tmp_path, ways=server.ways, seed=1, **SMALL)


def decoded(counts: list[int], size: list[int]) -> np.ndarray:
    """Plain decoder of uncompressed run lengths: zeros first, in column order."""
    flat: list[int] = []
    for number, count in enumerate(counts):
        flat += [number % 2] * count
    return np.array(flat).reshape(size[::-1]).T.astype(bool)


@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_are_exact(made, split):
    content = json.loads((made / "annotations" / f"{split}.json").read_text())
    assert len(content["images"]) == SMALL[f"{split}_scenes"]
    assert [c["name"] for c in content["categories"]] == list(CLASSES)
    ids = [a["id"] for a in content["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    for image in content["images"]:
        semantic = np.asarray(Image.open(made / "masks" / split / image["file_name"]))
        picture = Image.open(made / "images" / split / image["file_name"])
        assert picture.size == (96, 96)
        assert picture.mode == "RGB"
        rebuilt, owners = np.zeros((96, 96), np.uint8), np.zeros((96, 96), int)
        own = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        assert own
        for annotation in own:
            rle = annotation["segmentation"]
            mask = decoded(rle["counts"], rle["size"])
            rows, columns = np.nonzero(mask)
            left, top = columns.min(), rows.min()
            width, height = columns.max() - left + 1, rows.max() - top + 1
            assert annotation["bbox"] == [left, top, width, height]
            assert annotation["area"] == mask.sum()
            assert max(width, height) <= 48
            rebuilt[mask] = annotation["category_id"]
            owners += mask
            owners[top : top + height, left : left + width] += ~mask[
                top : top + height, left : left + width
            ]
        assert owners.max() == 1  # not even the boxes overlap
        np.testing.assert_array_equal(semantic, rebuilt)


def test_objects_are_disjoint_and_used_once(made, tmp_path):
    images = {
        split: read_split(tmp_path / "fashion_mnist", split)[0]
        for split in ("train", "test")
    }
    used = {}
    for split, objects in images.items():
        content = json.loads((made / "annotations" / f"{split}.json").read_text())
        indices = [a["object"] for a in content["annotations"]]
        assert len(indices) == len(set(indices))
        used[split] = {objects[i].tobytes() for i in indices}
    assert not used["train"] & used["test"]


def test_textures_are_disjoint(grounds):
    train, test = texture_part(grounds[0], True), texture_part(grounds[0], False)
    assert len(train) + len(test) == len(grounds[0])
    np.testing.assert_array_equal(np.concatenate([train, test]), grounds[0])


def test_same_seed_gives_the_same_bytes(made, tmp_path, server):
    first = content_digest(made)
    again = prepare("scenes", tmp_path, ways=server.ways, seed=2, **SMALL)
    assert content_digest(again / "images") != first
    again = prepare("scenes", tmp_path, ways=server.ways, seed=1, **SMALL)
    assert content_digest(again) == first


def test_scene_does_not_depend_on_how_many(grounds):
    images, labels = grey_objects(60, 5)

    def pixels(num_scenes):
        scenes = composed_scenes("train", images, labels, grounds, num_scenes, 96, 0)
        return [scene.image for scene in scenes]

    for few, many in zip(pixels(2), pixels(4), strict=False):
        np.testing.assert_array_equal(few, many)


def test_pixels_are_the_same_on_every_machine(grounds):
    images, labels = grey_objects(60, 5)
    digest = hashlib.sha256()
    for scene in composed_scenes("test", images, labels, grounds, 3, 96, 4):
        digest.update(scene.image.tobytes() + scene.semantic_mask().tobytes())
    assert digest.hexdigest() == PIXELS


def test_pixels_outside_the_masks_are_background(grounds):
    images, labels = grey_objects(60, 5)
    (scene,) = composed_scenes("train", images, labels, grounds, 1, 96, 0)
    blank = np.zeros_like(images)
    (empty,) = composed_scenes("train", blank, labels, grounds, 1, 96, 0)
    assert not empty.objects
    outside = scene.semantic_mask() == 0
    np.testing.assert_array_equal(scene.image[outside], empty.image[outside])


def test_coco_api_reads_the_annotations(made):
    coco_module = pytest.importorskip("pycocotools.coco")
    for split in ("train", "test"):
        coco = coco_module.COCO(str(made / "annotations" / f"{split}.json"))
        for image_id in coco.getImgIds():
            name = coco.loadImgs(image_id)[0]["file_name"]
            semantic = np.asarray(Image.open(made / "masks" / split / name))
            union = np.zeros_like(semantic)
            for annotation in coco.loadAnns(coco.getAnnIds(image_id)):
                mask = coco.annToMask(annotation)
                assert mask.sum() == annotation["area"]
                union += mask * annotation["category_id"]
            np.testing.assert_array_equal(union, semantic)


def test_preview_shows_six_scenes(made):
    preview = Image.open(made / "preview.png")
    assert preview.size == (6 * (2 * 96 + 6), 3 * (2 * 96 + 6))


def test_run_lengths_start_with_zeros():
    assert run_lengths(np.ones((2, 2), bool)) == [0, 4]
    assert run_lengths(np.zeros((2, 2), bool)) == [4]


def test_holes_are_filled_but_bays_are_not():
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1]], dtype=bool)
    assert fill_holes(mask).astype(int).tolist()[1] == [1, 1, 1, 0]


def test_cutout_has_the_wanted_side():
    images, _ = grey_objects(1, 0)
    cutout = cut_out(images[0], 40, 3, 7)
    assert cutout is not None
    assert max(cutout.mask_hw.shape) == 40
    assert cutout.grey_hw.shape == cutout.mask_hw.shape
    assert cut_out(np.zeros((28, 28), np.uint8), 40, 3, 7) is None
