"""Runtimes that read files, each with one thread."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ptq_latency import Logits

from mmrazor.models.architectures.onnx_session import onnx_session


def openvino() -> Any:
    """Return the package, which may be in a folder of its own."""
    return importlib.import_module("openvino")


def onnxruntime_session(path: Path) -> Logits:
    """Open a file in ONNX Runtime, on one thread."""
    session = onnx_session(path, threads=1)
    name = session.get_inputs()[0].name
    return lambda image: torch.from_numpy(session.run(None, {name: image.numpy()})[0])


def openvino_session(path: Path) -> Logits:
    """Open a file on OpenVINO's CPU, on one thread.

    What is float is computed in float32: OpenVINO takes bfloat16 where it finds it.
    """
    options = {
        "INFERENCE_NUM_THREADS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino().Core().compile_model(str(path), "CPU", options)
    return lambda image: torch.from_numpy(np.array(compiled(image.numpy())[0]))


RUNTIMES: dict[str, Callable[[Path], Logits]] = {
    "ONNX Runtime": onnxruntime_session,
    "OpenVINO": openvino_session,
}
