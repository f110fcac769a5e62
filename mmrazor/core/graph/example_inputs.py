# Inputs that a model accepts are the start of everything that runs it once: cost,
# ONNX, tracing. OpenMMLab models want data samples with meta information as well.
"""Make example inputs for one forward pass of a model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

from ..forward import call_model, device_and_dtype, evaluating

_MODES = ("tensor", "predict", "loss")
# What models raise that do not support a mode, or not in this state.
_REFUSALS = (
    NotImplementedError,
    AssertionError,
    AttributeError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def example_inputs(
    model: nn.Module, image_size: Sequence[int] = (224, 224), batch_size: int = 1
) -> dict[str, Any]:
    """Return keyword arguments of one forward pass: ``model(**example_inputs(model))``.

    Models of the OpenMMLab libraries get images and data samples, in the first of the
    modes ``tensor``, ``predict`` and ``loss`` that they run in; plain torch models get
    one tensor under the name of their first argument. Values are the same on every
    call; the random state stays as it was.

    Args:
        model: Tells the number of channels, the device and the dtype.
        image_size: Height and width in pixels, each at least 1.
        batch_size: Images in the batch, at least 1.

    Raises:
        TypeError: If a plain model's forward has no named first argument.
        ValueError: If sizes are not positive, or the model runs in no mode.

    Example:
        >>> inputs = example_inputs(nn.Conv2d(3, 8, 3), image_size=(32, 48))
        >>> {name: tuple(value.shape) for name, value in inputs.items()}
        {'input': (1, 3, 32, 48)}
    """
    height, width = (int(size) for size in image_size)
    if min(height, width, batch_size) < 1:
        raise ValueError(
            f"image_size={tuple(image_size)} and batch_size={batch_size} must be "
            "positive: (height, width) in pixels."
        )
    size = (height, width)
    if not isinstance(model, BaseModel):
        shape = _first_shape(model, size, batch_size)
        return {_first_argument(model): _plain_batch(model, shape)}
    refusals = []
    for channels in _channel_counts(model):
        images = _batch(model, (batch_size, channels, *size))
        inputs: dict[str, Any] = {"inputs": images}
        samples = _data_samples(model, images)
        if samples is not None:
            inputs["data_samples"] = samples
        for mode in _MODES:
            refusal = _refusal(model, {**inputs, "mode": mode})
            if refusal is None:
                return {**inputs, "mode": mode}
            refusals.append(f"{mode} mode, {channels} channels: {refusal}")
    raise ValueError(
        f"{type(model).__name__} does not run on images of {height} x {width}. "
        f"{'; '.join(refusals)}. Try another image_size, or write the inputs by hand: "
        "dict(inputs=..., data_samples=..., mode=...)."
    )


def _batch(model: nn.Module, shape: Sequence[int]) -> Tensor:
    device, dtype = device_and_dtype(model)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(tuple(shape), generator=generator).to(device, dtype)


def _plain_batch(model: nn.Module, shape: Sequence[int]) -> Tensor | list[Tensor]:
    batch = _batch(model, shape)
    if type(model).__module__.startswith("torchvision.models.detection"):
        return [image.sigmoid() for image in batch]  # a list of images in [0, 1]
    return batch


def _first_shape(
    model: nn.Module, size: tuple[int, int], batch_size: int
) -> tuple[int, ...]:
    """Return the input shape that the first convolution or linear layer asks for."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return (batch_size, module.in_channels, *size)
        if isinstance(module, nn.Linear):
            return (batch_size, module.in_features)
    return (batch_size, 3, *size)


def _channel_counts(model: BaseModel) -> list[int]:
    """List the numbers of image channels worth trying, the likeliest first."""
    mean = getattr(model.data_preprocessor, "mean", None)
    by_mean = [mean.numel()] if isinstance(mean, Tensor) else []
    by_convolution = [_first_shape(model, (1, 1), 1)[1]]
    # A first convolution after space-to-depth (YOLOX) has more channels than images.
    return list(dict.fromkeys([*by_mean, *by_convolution, 3]))


def _first_argument(model: nn.Module) -> str:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for name, argument in inspect.signature(model.forward).parameters.items():
        if argument.kind in kinds:
            return name
        break
    raise TypeError(
        f"{type(model).__name__}.forward names no first argument. Pass a tensor, a "
        "tuple or a dict of your own as inputs."
    )


def _refusal(model: nn.Module, inputs: dict[str, Any]) -> str | None:
    """Return why a model does not run on some inputs, ``None`` if it does."""
    devices = [inputs["inputs"].device] if inputs["inputs"].is_cuda else []
    try:
        with torch.random.fork_rng(devices), evaluating(model):
            output = call_model(model, inputs)
    except _REFUSALS as err:
        return f"{type(err).__name__}: {str(err).splitlines()[0] if str(err) else ''}"
    return "returned nothing" if output is None else None


def _data_samples(model: nn.Module, images: Any) -> list[Any] | None:
    """Make data samples with meta information and labels as the host library does."""
    # An Algorithm takes what its Architecture takes.
    model = getattr(model, "architecture", model)
    for kind in type(model).__mro__:
        host = kind.__module__.partition(".")[0]
        if host in _SAMPLES:
            return _SAMPLES[host](images)
    return None


def _meta(images: Tensor, index: int) -> dict[str, Any]:
    size = tuple(images.shape[-2:])
    return {
        "img_id": index,
        "img_path": "",
        "img_shape": size,
        "ori_shape": size,
        "pad_shape": size,
        "batch_input_shape": size,
        "scale_factor": (1.0, 1.0),
        "flip": False,
        "flip_direction": None,
        "padding_size": [0, 0, 0, 0],
        "img_padding_size": [0, 0, 0, 0],
    }


def _mmpretrain_samples(images: Tensor) -> list[Any]:
    kind = import_module("mmpretrain.structures").DataSample
    samples = [kind(metainfo=_meta(images, i)) for i in range(len(images))]
    return [sample.set_gt_label(0).to(images.device) for sample in samples]


def _mmdet_samples(images: Tensor) -> list[Any]:
    kind = import_module("mmdet.structures").DetDataSample
    masks = import_module("mmdet.structures.mask").BitmapMasks
    height, width = images.shape[-2:]
    box = images.new_tensor(
        [[0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height]]
    )
    samples = []
    for i in range(len(images)):
        sample = kind(metainfo=_meta(images, i))
        mask = torch.zeros(1, height, width, dtype=torch.uint8)
        mask[:, height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = 1
        sample.gt_instances = InstanceData(
            bboxes=box.clone(),
            labels=torch.zeros(1, dtype=torch.long, device=images.device),
            masks=masks(mask.numpy(), height, width),
        )
        sample.ignored_instances = InstanceData(
            bboxes=box[:0].clone(), labels=sample.gt_instances.labels[:0]
        )
        # Two-stage heads without their own proposals (Fast R-CNN) ask for these.
        sample.proposals = InstanceData(bboxes=box.clone(), scores=box.new_ones(1))
        sample.gt_sem_seg = _no_labels(images)
        samples.append(sample)
    return samples


def _mmseg_samples(images: Tensor) -> list[Any]:
    kind = import_module("mmseg.structures").SegDataSample
    samples = []
    for i in range(len(images)):
        sample = kind(metainfo=_meta(images, i))
        sample.gt_sem_seg = _no_labels(images)
        samples.append(sample)
    return samples


def _no_labels(images: Tensor) -> PixelData:
    """Return a semantic map that is class 0 everywhere."""
    size = images.shape[-2:]
    pixels = torch.zeros(1, *size, dtype=torch.long, device=images.device)
    return PixelData(data=pixels, sem_seg=pixels.clone())


_SAMPLES = {
    "mmpretrain": _mmpretrain_samples,
    "mmdet": _mmdet_samples,
    "mmseg": _mmseg_samples,
}
