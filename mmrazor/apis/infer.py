# mmpretrain, mmdet and mmseg each have an inferencer with a call of its own; their
# models share ``test_step`` and their configs the test pipeline, which is all that is
# needed for one way that serves the three.
"""Run an exported model on images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from torch import nn

from .. import compat
from ..core.forward import evaluating
from ..models.architectures import build_architecture, load_weights, slimmed
from ..models.architectures.checkpoint import checkpoint_file, read_checkpoint
from ..models.architectures.resolve import is_pruned
from .bare_config import bare_config
from .image_size import test_image_size, test_pipeline
from .pruning_run import subnet_in
from .quantized_files import quantized_from
from .quantizing_run import quantizer_in
from .run_config import load_config


def init_model(
    config: str | os.PathLike[str] | Config,
    checkpoint: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
) -> nn.Module:
    """Build the Architecture of a config and load its weights, ready for inference.

    Args:
        config: An exported config, a host library's, or that of an Algorithm.
        checkpoint: Weights of the Architecture or of the Algorithm; without them the
            model is as its constructor made it.
        device: Default is the accelerator if there is one.

    Returns:
        The plain model in eval mode, with its config in ``cfg`` and class names in
        ``dataset_meta``. That of a checkpoint with ranges is quantized.

    Raises:
        FileNotFoundError: If config or checkpoint does not exist.
        ValueError: If the weights do not fit, or are an ONNX file.
    """
    cfg = load_config(config)
    bare = bare_config(cfg)
    model = build_architecture(bare)
    quantizer = quantizer_in(cfg.model)
    classes: dict[str, Any] = {}
    if checkpoint is not None:
        source = checkpoint_file(checkpoint)
        if source.suffix == ".onnx":
            raise ValueError(
                f"'{source}' is an ONNX file, and init_model takes the weights of a "
                "model: give the .pth that was exported beside it. tools/test.py and "
                "type='mmrazor.OnnxModel' run the file."
            )
        subnet = subnet_in(source)
        if subnet is not None and not is_pruned(bare.model):
            model = slimmed(model, subnet)
        if quantizer is not None:
            size = quantizer.get("image_size") or test_image_size(bare)
            model = quantized_from(model, quantizer, size, source)
        else:
            load_weights(model, source)
        meta = read_checkpoint(source).get("meta") or {}
        classes = dict(meta.get("dataset_meta") or {})
    # Names that the hosts' own tools read as well.
    vars(model).update(cfg=bare, dataset_meta=classes)
    return model.to(device or get_device()).eval()


def inference(model: Any, images: Any) -> Any:
    """Predict on images with the test pipeline of the model's config.

    Args:
        model: From ``init_model``.
        images: A file name, an image array ``(H, W, 3)`` in the channel order that
            the pipeline's loader gives (BGR with OpenMMLab's defaults), or a list.

    Returns:
        The host library's data sample, or a list of them for a list.

    Raises:
        FileNotFoundError: If an image does not exist.
        ValueError: If the model was not made by ``init_model``, or its config has no
            test pipeline.

    Example:
        ``inference(init_model('student.py', 'student.pth'), 'photo.jpg').pred_label``
    """
    many = isinstance(images, (list, tuple))
    cfg = getattr(model, "cfg", None)
    if not isinstance(cfg, Config):
        raise ValueError(
            f"{type(model).__name__} carries no config with a test pipeline. Make the "
            "model by mmrazor.init_model(config, checkpoint)."
        )
    transforms = _test_transforms(cfg)
    results = []
    scope = cfg.default_scope
    with compat.host_scope(None if scope == "mmengine" else scope), evaluating(model):
        with_loader = Compose(transforms)
        without = Compose([t for t in transforms if not _loads_image(t)])
        reads = any(map(_loads_image, transforms))
        for image in images if many else [images]:
            if isinstance(image, np.ndarray):
                data = without(_described(image))
            elif not Path(image).is_file():
                raise FileNotFoundError(f"There is no image file '{image}'.")
            elif reads:
                data = with_loader({"img_path": os.fspath(image), "img_id": 0})
            else:
                data = without(_described(_read(model, os.fspath(image))))
            results += model.test_step(pseudo_collate([data]))
    return results if many else results[0]


def _test_transforms(cfg: Config) -> Sequence[Mapping[str, Any]]:
    transforms = test_pipeline(cfg)
    if not transforms:
        raise ValueError(
            f"Config '{cfg.filename}' has no test_dataloader.dataset.pipeline, which "
            "says how an image becomes the model's input. Add it."
        )
    return [t for t in transforms if "Annotation" not in str(t["type"])]


def _loads_image(transform: Mapping[str, Any]) -> bool:
    return str(transform["type"]).rpartition(".")[2].startswith("LoadImage")


def _described(image: np.ndarray) -> dict[str, Any]:
    size = image.shape[:2]
    return {
        "img": image,
        "img_shape": size,
        "ori_shape": size,
        "img_path": "",
        "img_id": 0,
    }


def _read(model: nn.Module, path: str) -> np.ndarray:
    """Read a file for a pipeline whose dataset hands over arrays (CIFAR, MNIST)."""
    mean = getattr(getattr(model, "data_preprocessor", None), "mean", None)
    gray = mean is not None and mean.numel() == 1
    imread = import_module("mmcv").imread
    if gray:
        return imread(path, flag="grayscale")
    return imread(path, channel_order="rgb")
