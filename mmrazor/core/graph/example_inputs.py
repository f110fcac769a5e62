# Inputs that a model accepts are the start of everything that runs it once: cost,
# ONNX, tracing. OpenMMLab models want data samples with meta information as well.
"""Make example inputs for one forward pass of a model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..forward import call_model, device_and_dtype, eager_module, evaluating
from ..values import check_image_size
from .data_samples import clip_samples, data_samples, takes_clips
from .trace import tensors_in

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

    Models of the OpenMMLab libraries get images (trackers may get pairs of frames) and
    data samples, in the first of the modes ``tensor``, ``predict`` and ``loss`` that
    they run in; a mode that finds nothing on these images, and so computes no number,
    comes last. Plain torch models get one tensor under the name of their first
    argument. Values are the same on every call; the random state stays as it was.

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
    check_image_size(image_size)
    model = eager_module(model)
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
    refusals, empty = [], None
    for kind, inputs in _host_batches(model, size, batch_size):
        for mode in _MODES:
            refusal, has_values = _trial(model, {**inputs, "mode": mode})
            if has_values:
                return {**inputs, "mode": mode}
            refusals.append(f"{mode} mode, {kind}: {refusal}")
            if refusal is None and empty is None:
                empty = {**inputs, "mode": mode}
    if empty is not None:
        return empty
    raise ValueError(
        f"{type(model).__name__} does not run on images of {height} x {width}. "
        f"{'; '.join(refusals)}. Try another image_size, or write the inputs by hand: "
        "dict(inputs=..., data_samples=..., mode=...)."
    )


def _host_batches(
    model: BaseModel, size: tuple[int, int], batch_size: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield inputs worth trying, with a word for each, the likeliest first."""
    # An Algorithm takes what its Architecture takes.
    architecture = getattr(model, "architecture", model)
    for channels in _channel_counts(model):
        images = _batch(model, (batch_size, channels, *size))
        samples = data_samples(architecture, images)
        given = {} if samples is None else {"data_samples": samples}
        yield f"{channels} channels", {"inputs": images, **given}
        if takes_clips(architecture):
            pairs = _batch(model, (batch_size, 2, channels, *size))
            clips = {"inputs": pairs, "data_samples": clip_samples(pairs)}
            yield f"pairs of frames, {channels} channels", clips


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


def _trial(model: nn.Module, inputs: dict[str, Any]) -> tuple[str | None, bool]:
    """Run a model; return why it does not run, and whether it computes any number."""
    devices = [inputs["inputs"].device] if inputs["inputs"].is_cuda else []
    given = list(tensors_in(inputs))  # before: a host adds its predictions to them
    try:
        with torch.random.fork_rng(devices), evaluating(model):
            output = call_model(model, inputs)
    except _REFUSALS as err:
        return (
            f"{type(err).__name__}: {str(err).splitlines()[0] if str(err) else ''}",
            False,
        )
    if output is None:
        return "returned nothing", False
    known = {id(tensor) for tensor in given}
    numbers = (t for t in tensors_in(output) if t.is_floating_point() and t.numel())
    return None, any(id(tensor) not in known for tensor in numbers)
