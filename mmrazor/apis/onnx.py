# An ONNX file is only worth something if another runtime gives the same numbers:
# every file written here was run in ONNX Runtime and compared, on the example, on
# random inputs and, if the batch is free, on another batch size. torch's exporter
# built on torch.export goes first (it takes PSPNet's pooling); the older one,
# built on TorchScript, takes over where that fails.
"""Export a model to ONNX and check the file in ONNX Runtime."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ..core.files import write_atomically
from ..core.forward import eager_module
from ..models.quantizers import quantizer_of
from .onnx_arithmetic import same_arithmetic, silence, without_notes
from .onnx_check import OnnxExportError, largest_difference
from .onnx_graph import TensorFunction, with_batch
from .onnx_quantized import (
    TOLERANCE,
    check_calibrated,
    check_integers,
    integers_written,
)
from .onnx_source import OnnxSource, checked_function, sources_of

_MAX_BYTES = 1_900_000_000  # protobuf's limit is 2 GiB
_EXPORTERS = {"torch.export": True, "torchscript": False}
_NEWEST_TRACED = 20  # version of the operator set


@dataclass(frozen=True)
class OnnxInfo:
    """What was written, and how well it agrees with the model.

    Args:
        path: The file.
        max_difference: Largest difference between ONNX Runtime and torch over all
            outputs and all inputs tried, relative to the largest value of the output.
        input_names: Names of the graph's inputs.
        output_names: Names of its outputs: the place in the model's own output.
        dynamic_batch: Whether any batch size may be fed.
        opset: Version of the operator set.
        exporter: ``torch.export`` or ``torchscript``.
    """

    path: Path
    max_difference: float
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    dynamic_batch: bool
    opset: int
    exporter: str


def export_onnx(
    model: nn.Module,
    inputs: Any,
    path: str | os.PathLike[str],
    opset: int | None = None,
    dynamic_batch: bool = True,
    tolerance: float | None = None,
) -> OnnxInfo:
    """Export a model in eval mode and compare ONNX Runtime with torch.

    A quantized model is written with its integers (QuantizeLinear, DequantizeLinear);
    batch norms that are not folded yet are folded in a copy of it. A model in half
    precision, bfloat16 or double is written as a copy in float32, with a warning, where
    ONNX Runtime cannot run its own type; the file is compared with the copy, and with
    the model within the precision of its type.

    Args:
        model: Any module; it is left as it was.
        inputs: A tensor, a tuple of arguments or a dict of keyword arguments, as from
            ``example_inputs``. Tensors become inputs of the graph; all else is fixed.
        path: Where the file goes; it appears only if all checks pass.
        opset: Version of the operator set; default is the exporter's, or that which the
            backend of a quantized model asks for.
        dynamic_batch: Leave the batch size open. A model that fixes it in its own code
            is exported for the batch size of ``inputs``, with a warning, and
            ``OnnxInfo.dynamic_batch`` is false.
        tolerance: Largest relative difference accepted; default is 1e-3. Roundings of a
            quantized model fall differently here and there: 0.1, or twice as much as
            quantization changed the output. Of a model in another type than float32, 16
            of its roundings, if they are more.

    Raises:
        ModuleNotFoundError: If onnx or ONNX Runtime is not installed.
        OnnxExportError: If the model cannot be exported, or differs.
    """
    model = eager_module(model)
    for name in ("onnx", "onnxruntime", "onnxscript"):
        _require(name)
    check_calibrated(model)
    refusals: list[str] = []
    with same_arithmetic(model):
        function = checked_function(model, inputs)
        for source in sources_of(function, _tolerance(function, tolerance)):
            _check_size(source.function.model)
            with integers_written(source.function.model):
                source.function(*source.function.tensors)  # integers are made here
                info = _first_export(
                    source, path, opset, dynamic_batch, tolerance, refusals
                )
            if info is not None:
                return info
    raise OnnxExportError(
        f"{type(model).__name__} cannot be exported to '{path}'. "
        + " | ".join(refusals)
        + " | Try another mode or image size in inputs, or another opset."
    )


def _tolerance(function: TensorFunction, tolerance: float | None) -> float:
    if tolerance is not None:
        return tolerance
    return 1e-3 if quantizer_of(function.model) is None else TOLERANCE


def _check_size(model: nn.Module) -> None:
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    if size > _MAX_BYTES:
        raise OnnxExportError(
            f"{type(model).__name__} has {size / 1e9:.1f} GB of parameters; one ONNX "
            f"file holds {_MAX_BYTES / 1e9:.1f} GB. Export a smaller model or halve it."
        )


def _first_export(
    source: OnnxSource,
    path: str | os.PathLike[str],
    opset: int | None,
    dynamic_batch: bool,
    tolerance: float | None,
    refusals: list[str],
) -> OnnxInfo | None:
    """Try the ways to write a file until one passes the checks.

    Args:
        source: What it is written of.
        path: The file.
        opset: As the user asks for.
        dynamic_batch: Try to leave the batch size open.
        tolerance: As the user asks for.
        refusals: Filled with why each way failed.
    """
    function = source.function
    for dynamic in [True, False] if dynamic_batch else [False]:
        if dynamic and not function.batch_is_free:
            continue
        for way in _ways(source, opset):
            try:
                info = _export(source, path, way, dynamic, tolerance)
            except _failures() as err:
                kind = "open" if dynamic else "fixed"
                # torch.export wraps the reason in advice on itself.
                reason = err.__cause__ or err
                text = " ".join(str(reason).split())[:300] or type(reason).__name__
                refusals.append(f"{way.exporter}, {kind} batch: {text}")
                if type(reason).__name__ == "NotImplemented" and not source.is_last:
                    return None  # the runtime has no such layers in this type
                continue
            _say_limits(source, path, fixed=dynamic_batch and not dynamic)
            return info
    return None


@dataclass(frozen=True)
class _Way:
    """A way to write a file."""

    exporter: str
    opset: int | None
    replays_numbers: bool = False


def _ways(source: OnnxSource, opset: int | None) -> list[_Way]:
    by_export, traced = _EXPORTERS
    newest = opset
    if source.quantizer is not None:
        newest = opset or source.quantizer.backend.opset
    ways = [_Way(by_export, newest), _Way(traced, opset or _traced_opset(newest))]
    if source.function.reads_numbers:
        ways.insert(0, _Way(by_export, newest, replays_numbers=True))
    return ways


def _traced_opset(opset: int | None) -> int | None:
    """Return the newest version that the older exporter writes, if it is to be new."""
    return None if opset is None else min(opset, _NEWEST_TRACED)


def _say_limits(source: OnnxSource, path: str | os.PathLike[str], fixed: bool) -> None:
    """Warn of what a file does not do as the model does."""
    name = type(source.references[-1].function.model).__name__
    notes = []
    if fixed:
        notes.append(
            f"'{path}' takes batches of {source.function.batch_size} only: {name} "
            "fixes the batch size in its code."
        )
    if source.copied_from is not None:
        dtype = str(source.copied_from).removeprefix("torch.")
        where = "on a CPU" if source.quantizer is None else "in integers"
        notes.append(
            f"'{path}' computes in float32, and its inputs and outputs are float32: "
            f"{name} is in {dtype}, which ONNX Runtime does not run {where}."
        )
    for note in notes:
        print_log(note, logger="current", level=logging.WARNING)


def _export(
    source: OnnxSource,
    path: str | os.PathLike[str],
    way: _Way,
    dynamic: bool,
    tolerance: float | None,
) -> OnnxInfo:
    function = source.function
    found: dict[str, Any] = {}

    def write_and_check(temporary: Path) -> None:
        # torch.export takes a dimension of 1 for a constant.
        example = with_batch(function.tensors, 2) if dynamic else function.tensors
        function.replays_numbers = way.replays_numbers
        try:
            by_export = _EXPORTERS[way.exporter]
            _write(function, example, temporary, way.opset, dynamic, by_export)
        finally:
            function.replays_numbers = False
        graph = without_notes(temporary)
        import_module("onnx").checker.check_model(graph, full_check=True)
        found["opset"] = next(i.version for i in graph.opset_import if not i.domain)
        if source.quantizer is not None:
            check_integers(graph, source.quantizer)
        for reference in source.references:
            found["difference"] = largest_difference(
                reference.function,
                temporary,
                dynamic,
                reference.tolerance if tolerance is None else tolerance,
                reference.in_float if tolerance is None else None,
            )

    written = write_atomically(Path(path), write_and_check)
    return OnnxInfo(
        path=written,
        max_difference=found["difference"],
        input_names=function.input_names,
        output_names=function.output_names,
        dynamic_batch=dynamic,
        opset=found["opset"],
        exporter=way.exporter,
    )


def _write(
    function: TensorFunction,
    example: tuple[Tensor, ...],
    path: Path,
    opset: int | None,
    dynamic: bool,
    by_export: bool,
) -> None:
    names = list(function.input_names)
    shapes: dict[str, Any] = {}
    if dynamic and by_export:
        batch = torch.export.Dim("batch")
        shapes["dynamic_shapes"] = (tuple({0: batch} for _ in example),)
    elif dynamic:
        outputs = [*names, *function.output_names]
        shapes["dynamic_axes"] = {name: {0: "batch"} for name in outputs}
    with silence():
        torch.onnx.export(
            function,
            example,
            str(path),
            input_names=names,
            output_names=list(function.output_names),
            opset_version=opset,
            dynamo=by_export,
            external_data=False,
            verbose=False,
            **shapes,
        )


def _require(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as err:
        raise ModuleNotFoundError(
            f"ONNX export needs '{name}', which is not installed. "
            "Install it: pip install 'mmrazor[onnx]'",
            name=name,
        ) from err


def _failures() -> tuple[type[BaseException], ...]:
    """List what exporters, checker and runtime raise when they cannot do it."""
    onnx, runtime = import_module("onnx"), import_module("onnxruntime")
    states = runtime.capi.onnxruntime_pybind11_state
    raised = [getattr(states, name) for name in dir(states)]
    own = [kind for kind in raised if isinstance(kind, type)]
    return (
        torch.onnx.OnnxExporterError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        *(kind for kind in own if issubclass(kind, Exception)),
        AssertionError,
        AttributeError,
        ImportError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
    )
