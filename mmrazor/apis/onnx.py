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
from ..models.quantizers import Quantizer
from .onnx_arithmetic import same_arithmetic, silence, without_notes
from .onnx_check import OnnxExportError, largest_difference
from .onnx_graph import TensorFunction, with_batch
from .onnx_quantized import TOLERANCE, check_integers, integers_written

_MAX_BYTES = 1_900_000_000  # protobuf's limit is 2 GiB
_EXPORTERS = {"torch.export": True, "torchscript": False}


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


@dataclass(frozen=True)
class _Check:
    """What a written file must be; returns its largest difference."""

    function: TensorFunction
    quantizer: Quantizer | None
    tolerance: float | None

    def __call__(self, graph: Any, path: Path, dynamic: bool) -> float:
        quantizer, tolerance = self.quantizer, self.tolerance
        in_float = None
        if quantizer is not None:
            check_integers(graph, quantizer)
            if tolerance is None:
                tolerance, in_float = TOLERANCE, quantizer.in_float
        tolerance = 1e-3 if tolerance is None else tolerance
        return largest_difference(self.function, path, dynamic, tolerance, in_float)


def export_onnx(
    model: nn.Module,
    inputs: Any,
    path: str | os.PathLike[str],
    opset: int | None = None,
    dynamic_batch: bool = True,
    tolerance: float | None = None,
) -> OnnxInfo:
    """Export a model in eval mode and compare ONNX Runtime with torch.

    A quantized model is written with its integers (QuantizeLinear, DequantizeLinear).

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
            quantization changed the output.

    Raises:
        ModuleNotFoundError: If onnx or ONNX Runtime is not installed.
        OnnxExportError: If the model cannot be exported, or differs.
    """
    model = eager_module(model)
    for name in ("onnx", "onnxruntime", "onnxscript"):
        _require(name)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    if size > _MAX_BYTES:
        raise OnnxExportError(
            f"{type(model).__name__} has {size / 1e9:.1f} GB of parameters; one ONNX "
            f"file holds {_MAX_BYTES / 1e9:.1f} GB. Export a smaller model or halve it."
        )
    refusals: list[str] = []
    with same_arithmetic(model), integers_written(model) as quantizer:
        if quantizer is not None:
            opset = opset or quantizer.backend.opset
        function = TensorFunction(model, inputs)
        check = _Check(function, quantizer, tolerance)
        for dynamic in [True, False] if dynamic_batch else [False]:
            if dynamic and not function.batch_is_free:
                continue
            for exporter in _EXPORTERS:
                try:
                    info = _export(function, path, opset, dynamic, exporter, check)
                except _failures() as err:
                    kind = "open" if dynamic else "fixed"
                    # torch.export wraps the reason in advice on itself.
                    text = " ".join(str(err.__cause__ or err).split())[:300]
                    refusals.append(f"{exporter}, {kind} batch: {text}")
                    continue
                if dynamic_batch and not dynamic:
                    print_log(
                        f"'{path}' takes batches of {function.batch_size} only: "
                        f"{type(model).__name__} fixes the batch size in its code.",
                        logger="current",
                        level=logging.WARNING,
                    )
                return info
    raise OnnxExportError(
        f"{type(model).__name__} cannot be exported to '{path}'. "
        + " | ".join(refusals)
        + " | Try another mode or image size in inputs, or another opset."
    )


def _export(
    function: TensorFunction,
    path: str | os.PathLike[str],
    opset: int | None,
    dynamic: bool,
    exporter: str,
    check: _Check,
) -> OnnxInfo:
    found: dict[str, Any] = {}

    def write_and_check(temporary: Path) -> None:
        # torch.export takes a dimension of 1 for a constant.
        example = with_batch(function.tensors, 2) if dynamic else function.tensors
        _write(function, example, temporary, opset, dynamic, _EXPORTERS[exporter])
        graph = without_notes(temporary)
        import_module("onnx").checker.check_model(graph, full_check=True)
        found["opset"] = next(i.version for i in graph.opset_import if not i.domain)
        found["difference"] = check(graph, temporary, dynamic)

    written = write_atomically(Path(path), write_and_check)
    return OnnxInfo(
        path=written,
        max_difference=found["difference"],
        input_names=function.input_names,
        output_names=function.output_names,
        dynamic_batch=dynamic,
        opset=found["opset"],
        exporter=exporter,
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
