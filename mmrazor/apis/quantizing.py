"""Quantize a model after training: the Python door."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.model import BaseModel
from torch import Tensor, nn

from ..core.copying import copied
from ..core.forward import device_and_dtype, eager_module, map_tensors
from ..models.algorithms import Quantize
from ..models.quantizers import (
    CalibrationError,
    ChosenBits,
    LayerError,
    NothingQuantizedError,
    QuantizedModel,
    Quantizer,
    QuantReport,
    quant_report,
    quantizer_of,
)
from .post_training import (
    Method,
    built_methods,
    chosen_bits,
    image_size,
    post_training_,
    raw_outputs,
    run_batch,
)


@dataclass(frozen=True)
class Quantized:
    """A quantized model and what became of its layers.

    Args:
        model: Called as the original; its parts are ``architecture`` and ``quantizer``.
        quantizer: Its Quantizer, calibrated.
        report: What was quantized, what was not and why, and the error of each layer.
        errors: By method, what it did to the errors of the layers it worked on.
        bits: The bit-widths that ``MixedPrecision`` has chosen; None without it.
    """

    model: nn.Module
    quantizer: Quantizer
    report: QuantReport
    errors: Mapping[str, Sequence[LayerError]]
    bits: ChosenBits | None = None


def quantize(
    model: nn.Module,
    calibration_batches: Iterable[Any],
    backend: str = "onnxruntime",
    weight: Mapping[str, Any] | None = None,
    activation: Mapping[str, Any] | bool | None = None,
    methods: Sequence[Method] | Method = (),
    ignore: Sequence[str] = (),
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    edges: Mapping[str, Any] | None = None,
    run: Callable[[nn.Module, Any], Any] | None = None,
) -> Quantized:
    """Return a model that computes as it will in the integers of a backend.

    Args:
        model: Any module; it is left as it was.
        calibration_batches: Some tens of images such as the model will see, in batches:
            each a tensor, a tuple of arguments or a dict of keyword arguments, or what
            the data loader of a model of mmengine gives. They are kept in memory.
        backend: ``onnxruntime``, ``openvino``, ``tensorrt`` or ``generic``; says what
            is quantized and what the settings are unless said otherwise.
        weight: Settings of weights, such as ``dict(bits=4, granularity='channel')``.
        activation: Settings of activations, such as ``dict(observer=dict(type=
            'PercentileObserver'))``; ``False`` leaves them in float.
        methods: Names or configs of post-training methods, such as ``GPTQ``.
        ignore: Names or patterns of modules that stay in float.
        overrides: By name or pattern of modules, ``dict(weight=..., activation=...)``
            that holds there.
        edges: The same for the first and the last layer.
        run: Runs the model on a batch; by default it is called with it, or a model of
            mmengine validated on it.

    Returns:
        The new model with its Quantizer and a report.

    Raises:
        CalibrationError: If there is no batch, or it is not what the model takes.
        NothingQuantizedError: If there is nothing to quantize; the text says why.
        QuantizedRunError: If there is NaN or infinity; the text names the place.
        ValueError: If the model is quantized already, a setting is wrong, or the
            backend does not take it.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        >>> quant = quantize(net.eval(), [torch.rand(4, 3, 8, 8) for _ in range(2)])
        >>> quant.model(torch.rand(1, 3, 8, 8)).shape, quant.report.quantized_share
        (torch.Size([1, 8, 6, 6]), 1.0)
    """
    model = eager_module(model)
    if quantizer_of(model) is not None:
        raise ValueError(
            f"{type(model).__name__} is quantized already. Give the float model that "
            "it was made from."
        )
    built = built_methods(methods)
    settings: dict[str, Any] = dict(
        backend=backend,
        weight=weight,
        activation=activation,
        ignore=ignore,
        overrides=overrides,
        edges=edges,
    )
    batches = _listed(calibration_batches)
    prepared = _prepared(copied(model), settings, batches[0])
    quantizer, architecture = prepared.quantizer, prepared.architecture
    errors = post_training_(architecture, quantizer, batches, built, run)
    report = quant_report(
        architecture,
        quantizer,
        batches[0],
        run or run_batch,
        original=model,
        outputs=run or raw_outputs,
    )
    return Quantized(prepared, quantizer, report, errors, chosen_bits(built))


def _listed(batches: Iterable[Any]) -> Sequence[Any]:
    if isinstance(batches, (Tensor, Mapping, str)):
        raise CalibrationError(
            f"calibration_batches is one {type(batches).__name__}. Give a list of "
            "batches: [batch]."
        )
    found = batches if isinstance(batches, Sequence) else list(batches)
    if not found:
        raise CalibrationError(
            "There is nothing to calibrate on: the batches are empty. Give some tens "
            "of images such as the model will see."
        )
    return found


def _prepared(model: nn.Module, settings: dict[str, Any], batch: Any) -> Any:
    """Return a model with a Quantizer that is not calibrated yet."""
    try:
        if isinstance(model, BaseModel):
            size = image_size(model, batch)
            return Quantize(model, {**settings, "image_size": size})
        device, _ = device_and_dtype(model)
        quantizer = Quantizer(**settings)
        quantizer.prepare_(model, map_tensors(batch, lambda t: t.to(device)))
    except NothingQuantizedError:
        raise
    except (RuntimeError, TypeError) as err:
        raise CalibrationError(
            f"{type(model).__name__} does not run on the first calibration batch, "
            f"{_described(batch)}: {err}. A batch is what the model is called with: a "
            "tensor, a tuple of arguments or a dict of keyword arguments."
        ) from err
    return QuantizedModel(model, quantizer)


def _described(batch: Any) -> str:
    shapes: list[str] = []
    map_tensors(batch, lambda tensor: shapes.append(f"{tuple(tensor.shape)}"))
    of = f" with tensors of shape {', '.join(shapes)}" if shapes else ""
    return f"a {type(batch).__name__}{of}"
