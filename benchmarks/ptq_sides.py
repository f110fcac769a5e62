"""Ours and others on one model: float and int8 sessions of the runtimes.

A side gives ``quantize``, which is timed, and two functions from one image to logits,
float and quantized, in the same runtime.
"""

from __future__ import annotations

import copy
import importlib
import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from ptq_latency import Logits
from ptq_models import Subject
from ptq_sessions import RUNTIMES, openvino
from torch import Tensor, nn

from mmrazor.apis.onnx import export_onnx
from mmrazor.models.quantizers import Quantizer, calibrate_

_BATCH = 8


class Side(ABC):
    """What every side is; ``quantize`` is timed and may be called several times.

    Args:
        case: The model.
        folder: For files.
    """

    runtime: ClassVar[str]

    def __init__(self, case: Subject, folder: Path) -> None:
        self.case, self.folder = case, folder

    @abstractmethod
    def quantize(self) -> Any:
        """Return what was quantized, calibrated, and can be run."""

    @abstractmethod
    def sessions(self, quantized: Any) -> tuple[Logits, Logits]:
        """Return the float and the quantized model, ready to run."""

    def float_onnx(self) -> Path:
        """Return the float model as an ONNX file."""
        path = self.folder / f"{self.case.name}_float.onnx"
        if not path.exists():
            export_onnx(self.case.model, self.case.images[:1], path, opset=21)
        return path


class FileSide(Side):
    """A side whose models are files."""

    @abstractmethod
    def written(self, quantized: Any) -> Path:
        """Return the file of a quantized model."""

    def sessions(self, quantized: Any) -> tuple[Logits, Logits]:
        """Open both files."""
        opened = RUNTIMES[self.runtime]
        return opened(self.float_onnx()), opened(self.written(quantized))


class Ours(FileSide):
    """This library, for ONNX Runtime."""

    runtime = "ONNX Runtime"
    backend: ClassVar[str] = "onnxruntime"

    def quantize(self) -> Any:
        """Quantize a fresh copy of the model."""
        model = copy.deepcopy(self.case.model)
        quantizer = Quantizer(self.backend)
        quantizer.prepare_(model, self.case.calibration[:1])
        calibrate_(model, quantizer, self.case.calibration.split(_BATCH))
        return model

    def written(self, quantized: Any) -> Path:
        """Export it."""
        path = self.folder / f"{self.case.name}_ours_{self.backend}.onnx"
        export_onnx(quantized, self.case.images[:1], path, tolerance=1.0)
        return path


class OursOpenVINO(Ours):
    """This library, for OpenVINO."""

    runtime = "OpenVINO"
    backend = "openvino"


class OnnxRuntime(FileSide):
    """ONNX Runtime's static quantizer: pairs, weights by channel."""

    runtime = "ONNX Runtime"

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

        tools.quantize_static(source, path, Reader(), per_channel=True)
        return path

    def written(self, quantized: Any) -> Path:
        """Return the file, which is written already."""
        path: Path = quantized
        return path


class NNCF(FileSide):
    """NNCF on OpenVINO's own graph."""

    runtime = "OpenVINO"

    def quantize(self) -> Any:
        """Quantize the graph read from the float ONNX file."""
        nncf = importlib.import_module("nncf")
        images = [image[None].numpy() for image in self.case.calibration]
        model = openvino().Core().read_model(self.float_onnx())
        return nncf.quantize(model, nncf.Dataset(images), subset_size=len(images))

    def written(self, quantized: Any) -> Path:
        """Save the graph."""
        path = self.folder / f"{self.case.name}_nncf.xml"
        openvino().save_model(quantized, path, compress_to_fp16=False)
        return path


class PT2E(Side):
    """torchao's PT2E with the X86 quantizer: strict export, compiled by Inductor."""

    runtime = "Inductor"

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

    runtime = "torch, eager"

    def quantize(self) -> Any:
        """Trace, observe, convert."""
        tools = importlib.import_module("torch.ao.quantization")
        fx = importlib.import_module("torch.ao.quantization.quantize_fx")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mapping = tools.get_default_qconfig_mapping("x86")
            example = (self.case.images[:1],)
            prepared = fx.prepare_fx(copy.deepcopy(self.case.model), mapping, example)
            with torch.no_grad():
                for batch in self.case.calibration.split(_BATCH):
                    prepared(batch)
            return fx.convert_fx(prepared)

    def sessions(self, quantized: Any) -> tuple[Logits, Logits]:
        """Run both in eager mode."""
        return _eager(self.case.model), _eager(quantized)


SIDES: dict[str, type[Side]] = {
    "ours, ONNX Runtime": Ours,
    "ONNX Runtime's static": OnnxRuntime,
    "ours, OpenVINO": OursOpenVINO,
    "NNCF, OpenVINO": NNCF,
    "torchao PT2E X86, Inductor": PT2E,
    "torch FX": FX,
}


def _compiled(model: nn.Module) -> Logits:
    return _eager(torch.compile(model))


def _eager(model: Any) -> Logits:
    def logits(image: Tensor) -> Tensor:
        with torch.no_grad():
            result: Tensor = model(image)
        return result

    return logits


def _input_name(path: Path) -> str:
    graph = importlib.import_module("onnx").load(str(path)).graph
    name: str = graph.input[0].name
    return name
