"""Ours and others on one model: float and int8 sessions of the runtimes.

A side gives ``quantize``, which is timed, and two functions from one image to logits,
float and quantized, in the same runtime.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ptq_models import Subject
from torch import Tensor, nn

from mmrazor.apis.onnx import export_onnx
from mmrazor.models.quantizers import Quantizer, calibrate_

Logits = Callable[[Tensor], Tensor]
_BATCH = 8


class Side:
    """What every side is; ``quantize`` is timed and may be called several times.

    Args:
        case: The model.
        folder: For files.
    """

    def __init__(self, case: Subject, folder: Path) -> None:
        self.case, self.folder = case, folder

    def quantize(self) -> Any:
        """Return what was quantized, calibrated, and can be run."""
        raise NotImplementedError

    def sessions(self, quantized: Any) -> tuple[Logits, Logits]:
        """Return the float and the quantized model, ready to run."""
        raise NotImplementedError

    def float_onnx(self) -> Path:
        """Return the float model as an ONNX file."""
        path = self.folder / f"{self.case.name}_float.onnx"
        if not path.exists():
            export_onnx(self.case.model, self.case.images[:1], path, opset=21)
        return path


class Ours(Side):
    """This library, for ONNX Runtime."""

    backend = "onnxruntime"

    def quantize(self) -> Any:
        """Quantize a fresh copy of the model."""
        model = _copy(self.case.model)
        quantizer = Quantizer(self.backend)
        quantizer.prepare_(model, self.case.calibration[:1])
        calibrate_(model, quantizer, self.case.calibration.split(_BATCH))
        return model, quantizer

    def sessions(self, quantized: Any) -> tuple[Logits, Logits]:
        """Export it, and open both files in the runtime."""
        model, _ = quantized
        path = self.folder / f"{self.case.name}_{self.backend}.onnx"
        export_onnx(model, self.case.images[:1], path, opset=21, tolerance=1.0)
        return self.opened(self.float_onnx()), self.opened(path)

    def opened(self, path: Path) -> Logits:
        """Return a file opened in ONNX Runtime."""
        return onnxruntime_session(path)


class OursOpenVINO(Ours):
    """This library, for OpenVINO."""

    backend = "openvino"

    def opened(self, path: Path) -> Logits:
        """Return a file opened in OpenVINO."""
        return openvino_session(openvino().Core().read_model(path))


class OnnxRuntime(Side):
    """ONNX Runtime's static quantizer: pairs, weights by channel."""

    def quantize(self) -> Any:
        """Quantize the ONNX file."""
        tools = importlib.import_module("onnxruntime.quantization")
        path = self.folder / f"{self.case.name}_ort_static.onnx"
        source = self.float_onnx()
        name = _input_name(source)
        images = iter([{name: i[None].numpy()} for i in self.case.calibration])

        class Reader(tools.CalibrationDataReader):  # type: ignore[name-defined]
            def get_next(self) -> Any:
                return next(images, None)

        tools.quantize_static(
            source, path, Reader(), per_channel=True, op_types_to_quantize=None
        )
        return path

    def sessions(self, quantized: Any) -> tuple[Logits, Logits]:
        """Open both files."""
        return onnxruntime_session(self.float_onnx()), onnxruntime_session(quantized)


class NNCF(Side):
    """NNCF on OpenVINO's own graph."""

    def quantize(self) -> Any:
        """Quantize the graph read from the float ONNX file."""
        nncf = importlib.import_module("nncf")
        images = [image[None].numpy() for image in self.case.calibration]
        model = openvino().Core().read_model(self.float_onnx())
        return nncf.quantize(model, nncf.Dataset(images), subset_size=len(images))

    def sessions(self, quantized: Any) -> tuple[Logits, Logits]:
        """Compile both."""
        plain = openvino().Core().read_model(self.float_onnx())
        return openvino_session(plain), openvino_session(quantized)


class PT2E(Side):
    """torchao's PT2E with the X86 quantizer: strict export, compiled by Inductor."""

    def quantize(self) -> Any:
        """Export, observe, convert."""
        tools = importlib.import_module("torchao.quantization.pt2e.quantize_pt2e")
        kinds = importlib.import_module(
            "torchao.quantization.pt2e.quantizer.x86_inductor_quantizer"
        )
        example = (self.case.images[:1],)
        graph = torch.export.export(self.case.model, example, strict=True).module()
        quantizer = kinds.X86InductorQuantizer()
        quantizer.set_global(kinds.get_default_x86_inductor_quantization_config())
        prepared = tools.prepare_pt2e(graph, quantizer)
        with torch.no_grad():
            for image in self.case.calibration:
                prepared(image[None])
        return tools.convert_pt2e(prepared)

    def sessions(self, quantized: Any) -> tuple[Logits, Logits]:
        """Compile both, with weights frozen."""
        inductor = importlib.import_module("torch._inductor.config")
        inductor.freezing = True
        return _compiled(self.case.model), _compiled(quantized)


class FX(Side):
    """torch's FX mode; its quantized layers run as they are."""

    def quantize(self) -> Any:
        """Trace, observe, convert."""
        tools = importlib.import_module("torch.ao.quantization")
        fx = importlib.import_module("torch.ao.quantization.quantize_fx")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mapping = tools.get_default_qconfig_mapping("x86")
            example = (self.case.images[:1],)
            prepared = fx.prepare_fx(_copy(self.case.model), mapping, example)
            with torch.no_grad():
                for batch in self.case.calibration.split(_BATCH):
                    prepared(batch)
            return fx.convert_fx(prepared)

    def sessions(self, quantized: Any) -> tuple[Logits, Logits]:
        """Run both in eager mode."""
        return _eager(self.case.model), _eager(quantized)


SIDES: dict[str, type[Side]] = {
    "ours, ONNX Runtime": Ours,
    "ours, OpenVINO": OursOpenVINO,
    "ONNX Runtime's static": OnnxRuntime,
    "NNCF, OpenVINO": NNCF,
    "torchao PT2E X86, Inductor": PT2E,
    "torch FX": FX,
}


def openvino() -> Any:
    """Return the package."""
    return importlib.import_module("openvino")


def onnxruntime_session(path: Path) -> Logits:
    """Open a file in ONNX Runtime, on one thread."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = runtime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda image: torch.from_numpy(session.run(None, {name: image.numpy()})[0])


def openvino_session(model: Any) -> Logits:
    """Compile a model for OpenVINO's CPU, on one thread."""
    options = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino().Core().compile_model(model, "CPU", options)
    return lambda image: torch.from_numpy(np.array(compiled(image.numpy())[0]))


def _compiled(model: nn.Module) -> Logits:
    return _eager(torch.compile(model))


def _eager(model: Any) -> Logits:
    def logits(image: Tensor) -> Tensor:
        with torch.no_grad():
            result: Tensor = model(image)
        return result

    return logits


def _copy(model: nn.Module) -> nn.Module:
    return importlib.import_module("copy").deepcopy(model)


def _input_name(path: Path) -> str:
    graph = importlib.import_module("onnx").load(str(path)).graph
    name: str = graph.input[0].name
    return name
