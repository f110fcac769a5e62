"""How the models of the coverage benchmark are built, and on which images they run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from coverage_models import TIMM, CoverageModel
from mmengine.config import Config
from torch import nn

import mmrazor
from mmrazor import compat
from mmrazor.apis.image_size import test_image_size

_LARGEST = 1024
_PROPOSALS = 100
_STD = 0.02
# Images that the models take no other size of.
_FIXED = {"mmdet/clrnet": (320, 800)}
_TORCHVISION_DENSE = ("deeplabv3_resnet50", "fasterrcnn_resnet50_fpn")


@dataclass(frozen=True)
class Recipe:
    """How to build one model, and which image sizes to try in turn.

    Args:
        config: The config that is taken, or the name in torchvision or timm.
        sizes: Heights and widths in pixels.
        build: Makes the model with random weights, anew on every call.
    """

    config: str
    sizes: tuple[tuple[int, int], ...]
    build: Callable[[], nn.Module]


def recipe(model: CoverageModel) -> Recipe:
    """Read how a model is built.

    Sizes are 224 pixels for classification, 256 and then 512 for the rest, at last
    those that the config trains and tests with, if it tells and they are not above
    1024.

    Raises:
        ValueError: If no config of the family has a model.
    """
    if model.host == "torchvision":
        return _torchvision_recipe(model.family)
    if model.host == "timm":
        return _timm_recipe(model.family)
    for name in model.configs:
        config = compat.read_config(compat.find_config(name))
        if not config.get("model"):
            continue
        _adapt_(config.model, compat.config_dir(model.host).parent)
        sides = (224,) if model.host == "mmpretrain" else (256, 512)
        sizes = [_FIXED.get(model.name, (side, side)) for side in sides]
        sizes += [own for own in _own_sizes(config) if max(own) <= _LARGEST]
        build = partial(_build, config)
        return Recipe(name, tuple(dict.fromkeys(sizes)), build)
    raise ValueError(f"None of the {len(model.configs)} configs has a model.")


def _own_sizes(config: Config) -> list[tuple[int, int]]:
    """Return the sizes that a config is trained and tested with, if it tells."""
    size = (config.model.get("data_preprocessor") or {}).get("size")
    sizes = [tuple(size)] if size else []
    with suppress(ValueError, AssertionError):  # no transform nor image tells
        sizes.append(test_image_size(config))
    return sizes


def _adapt_(value: Any, root: Path) -> None:
    """Change in a model's config what keeps it from running offline, on one processor.

    Two-stage detectors hand on 100 proposals, not 1000, on which the heads cost more
    than all the rest. Weights that a constructor downloads are left out.
    """
    if isinstance(value, list):
        for item in value:
            _adapt_(item, root)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if key in ("rpn", "rpn_proposal") and item and "max_per_img" in item:
            item["max_per_img"] = min(item["max_per_img"], _PROPOSALS)
        elif key == "teacher_config" and isinstance(item, str):
            value[key] = str(root / item)  # written for a clone of the host
        elif key == "teacher_ckpt":
            value[key] = None
        elif (key, item) == ("type", "MMSyncBN"):
            value[key] = "SyncBN"  # the other needs a process group to be built
        elif (key, item) == ("eps", 0):
            value[key] = 1e-5  # torch refuses 0
        _adapt_(item, root)


def _build(config: Config) -> nn.Module:
    """Build a model; give values to parameters that only ``init_weights`` sets."""
    torch.use_deterministic_algorithms(
        True, warn_only=True
    )  # nan where memory is unset
    try:
        model = mmrazor.build_architecture(config)
    finally:
        torch.use_deterministic_algorithms(False)
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.isnan().any():
            nn.init.normal_(parameter, std=_STD)
    if config.model.get("rpn_head", {}).get("type") == "EmbeddingRPNHead":
        # Learned boxes start as the whole image; random ones have negative sizes.
        model.rpn_head.init_weights()
    return model


def _torchvision_recipe(name: str) -> Recipe:
    dense = name in _TORCHVISION_DENSE
    side = 299 if name == "inception_v3" else 256 if dense else 224
    settings: dict[str, Any] = {"weights": None}
    if dense:
        settings["weights_backbone"] = None
    if name.startswith("fasterrcnn"):
        # It resizes for itself.
        settings |= {"min_size": side, "max_size": side}
        settings |= {"rpn_post_nms_top_n_test": _PROPOSALS}
    build = partial(torchvision.models.get_model, name, **settings)
    return Recipe(f"torchvision::{name}", ((side, side),), build)


def _timm_recipe(name: str) -> Recipe:
    import timm

    build = partial(timm.create_model, name, pretrained=False)
    return Recipe(f"timm::{name}", ((TIMM[name], TIMM[name]),), build)
