"""Read the test pipeline of a config: its transforms, the image size they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from .. import compat

# Transforms that decide the final size, and the key that holds it.
_SIZES = {"CenterCrop": "crop_size", "Resize": "scale", "Pad": "size"}


def test_image_size(cfg: Config) -> tuple[int, int]:
    """Return height and width of a test image, read from the test pipeline.

    A pipeline that leaves images as they are tells no size; then the first image of
    the test set does.

    Args:
        cfg: A host library's config.

    Raises:
        ValueError: If neither tells.
    """
    size = _of_pipeline(test_pipeline(cfg)) or _of_first_image(cfg)
    if size is None:
        raise ValueError(
            f"Config '{cfg.filename}' does not tell the size of test images, and the "
            "test set cannot be read. Give it: image_size=(height, width), or "
            "--image-size HEIGHT WIDTH."
        )
    model = cfg.model.get("architecture") or cfg.model  # of a pruned model
    preprocessor = model.get("data_preprocessor") or {}
    divisor = preprocessor.get("pad_size_divisor", 1)
    height, width = (-(-length // divisor) * divisor for length in size)
    return height, width


def test_pipeline(cfg: Mapping[str, Any]) -> list[Any]:
    """Return the transforms of the test set, also of a wrapped one; may be empty."""
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    while "pipeline" not in dataset and isinstance(dataset.get("dataset"), Mapping):
        dataset = dataset["dataset"]
    return list(dataset.get("pipeline") or [])


# pytest collects what starts with "test".
vars(test_image_size)["__test__"] = vars(test_pipeline)["__test__"] = False


def _of_pipeline(transforms: Sequence[Any]) -> tuple[int, int] | None:
    for transform in reversed(transforms):
        kind = str(transform.get("type", "")).rpartition(".")[2]
        size = transform.get(_SIZES.get(kind, ""))
        if isinstance(size, int):
            return size, size
        if isinstance(size, (tuple, list)) and len(size) == 2:
            # mmcv writes scales as (width, height); crops have equal sides.
            return int(size[1]), int(size[0])
    return None


def _of_first_image(cfg: Config) -> tuple[int, int] | None:
    dataset = (cfg.get("test_dataloader") or {}).get("dataset")
    scope = cfg.get("default_scope")
    if not dataset:
        return None
    try:
        with compat.host_scope(None if scope == "mmengine" else scope):
            sample = DATASETS.build(dataset)[0]
    except (OSError, RuntimeError, ValueError, LookupError):
        return None
    images = sample["inputs"]
    return tuple(images.shape[-2:]) if hasattr(images, "shape") else None
