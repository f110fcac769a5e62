# What the Python door and tools/quantize.py do alike.
"""Quantize a prepared model on data, without training it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import nn

from ..core.forward import call_model, device_and_dtype, map_tensors
from ..core.space import OneOf
from ..models.quantizers import (
    ChosenBits,
    LayerError,
    MixedPrecision,
    PostTrainingMethod,
    Quantizer,
    calibrate_,
)
from ..registry import MODELS
from .steps import Steps

# What models raise that have no tensor mode.
_REFUSALS = (
    *(NotImplementedError, AssertionError, AttributeError, LookupError),
    *(RuntimeError, TypeError, ValueError),
)

Method = str | Mapping[str, Any] | PostTrainingMethod


def post_training_(
    model: nn.Module,
    quantizer: Quantizer,
    batches: Sequence[Any],
    methods: Sequence[PostTrainingMethod] = (),
    run: Callable[[nn.Module, Any], Any] | None = None,
    steps: Steps | None = None,
) -> dict[str, list[LayerError]]:
    """Find the ranges of a model and improve its weights, in place.

    Args:
        model: Prepared by the Quantizer.
        quantizer: The Quantizer.
        batches: Data such as the model will see.
        methods: What improves it; those that come before calibration run first.
        run: Runs the model on a batch; default is :func:`run_batch`.
        steps: Shows what is done.

    Returns:
        By the name of each method, the errors of the layers that it worked on.

    Raises:
        CalibrationError: If there is no batch, or it is not what the model takes.
        QuantizedRunError: If there is NaN or infinity; the text names the place.
        ValueError: What a method raises, or if there are several bit-widths and no
            method that chooses.
    """
    _check_chosen(quantizer, methods)
    run, steps = run or run_batch, steps or Steps()
    errors: dict[str, list[LayerError]] = {}

    def improve(methods: Sequence[PostTrainingMethod]) -> None:
        for method in methods:
            name = type(method).__name__
            with steps.step(name, total=len(quantizer.layers())) as advance:
                errors[name] = method(model, quantizer, batches, run, advance)

    improve([method for method in methods if method.before_calibration])
    with steps.step("Calibrating", total=len(batches)) as advance:
        calibrate_(model, quantizer, batches, run, advance)
    improve([method for method in methods if not method.before_calibration])
    return errors


def built_methods(methods: Sequence[Method] | Method) -> list[PostTrainingMethod]:
    """Build post-training methods.

    Args:
        methods: Names, configs or objects; one alone needs no list.

    Raises:
        ValueError: If there is none of that name, or it is named twice.

    Example:
        >>> [method.damping for method in built_methods(['GPTQ'])]
        [0.01]
    """
    if isinstance(methods, (str, Mapping, PostTrainingMethod)):
        methods = [methods]
    built = [_built(method) for method in methods]
    names = [type(method).__name__ for method in built]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]} is named twice. Name each method once.")
    return built


def method_names() -> list[str]:
    """Return the names of the methods there are."""
    return sorted(
        name
        for name, kind in MODELS.module_dict.items()
        if isinstance(kind, type) and issubclass(kind, PostTrainingMethod)
    )


def run_batch(model: nn.Module, batch: Any) -> Any:
    """Run a model on a calibration batch.

    Args:
        model: A plain torch model, or one of mmengine.
        batch: A tensor, a tuple of arguments or a dict of keyword arguments; for a
            model of mmengine also what its data loader gives, before preprocessing.
    """
    of_loader = isinstance(batch, (Mapping, list, tuple)) and "mode" not in batch
    if isinstance(model, BaseModel) and of_loader:
        return model.val_step(batch)
    device, _ = device_and_dtype(model)
    return call_model(model, map_tensors(batch, lambda tensor: tensor.to(device)))


def raw_outputs(model: nn.Module, batch: Any) -> Any:
    """Return what a model computes from a calibration batch, before it is decoded.

    Args:
        model: As for :func:`run_batch`. A model of mmengine runs in ``tensor`` mode, or
            is validated if it has no such mode.
        batch: As there.
    """
    of_loader = isinstance(batch, (Mapping, list, tuple)) and "mode" not in batch
    if isinstance(model, BaseModel) and of_loader:
        data = model.data_preprocessor(batch, False)
        with suppress(*_REFUSALS):
            return model._run_forward(data, mode="tensor")
    return run_batch(model, batch)


def image_size(model: BaseModel, batch: Any) -> tuple[int, int] | None:
    """Return height and width of the images in a batch, None if that cannot be told.

    Args:
        model: Its data preprocessor makes what it is given.
        batch: As for :func:`run_batch`.
    """
    if isinstance(batch, (Mapping, list, tuple)) and "mode" not in batch:
        with torch.no_grad():
            batch = model.data_preprocessor(batch, False)
    if isinstance(batch, Mapping):
        batch = batch.get("inputs")
    while isinstance(batch, (list, tuple)) and batch:
        batch = batch[0]
    if not isinstance(batch, torch.Tensor) or batch.dim() < 3:
        return None
    return int(batch.shape[-2]), int(batch.shape[-1])


def chosen_bits(methods: Iterable[PostTrainingMethod]) -> ChosenBits | None:
    """Return the bit-widths that a method has chosen; None if none of them does."""
    found = (method.found for method in methods if isinstance(method, MixedPrecision))
    return next(found, None)


def _check_chosen(quantizer: Quantizer, methods: Iterable[PostTrainingMethod]) -> None:
    """Check that a method chooses where there are several bit-widths."""
    choosing = any(method.chooses_bits for method in methods)
    for part in ("activations",) if choosing else ("weights", "activations"):
        lists = [
            list(choice.values)
            for module in quantizer.quantizers(part)
            for choice in module.choices()
            if isinstance(choice, OneOf) and choice.size() > 1
        ]
        if lists:
            remedy = (
                "Give one number."
                if part == "activations"
                else "Name one that does, methods=[dict(type='MixedPrecision', "
                "budget=dict(size_bytes=0.5))], or give one number."
            )
            raise ValueError(
                f"Bits of {part} may be any of {lists[0]}, and no method chooses among "
                f"them. {remedy}"
            )


def _built(method: Method) -> PostTrainingMethod:
    if isinstance(method, PostTrainingMethod):
        return method
    cfg = {"type": method} if isinstance(method, str) else dict(method)
    known, name = method_names(), str(cfg.get("type", "")).removeprefix("mmrazor.")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
        hint = f" Perhaps '{near[0]}'." if near else ""
        raise ValueError(
            f"'{name}' is no post-training method; there are {known}.{hint}"
        )
    built: PostTrainingMethod = MODELS.build({**cfg, "_scope_": "mmrazor"})
    return built
