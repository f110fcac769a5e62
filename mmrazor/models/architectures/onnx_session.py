"""Open an ONNX file in ONNX Runtime."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any


class OnnxFileError(ValueError):
    """A file that ONNX Runtime cannot open: damaged, of another format, or a part."""


def onnx_session(path: str | os.PathLike[str], threads: int = 0) -> Any:
    """Open a file on the CPU; of its messages none is shown, as errors are raised.

    Args:
        path: The file.
        threads: That it computes with; 0 leaves it to ONNX Runtime.

    Raises:
        OSError: If the file cannot be read.
        OnnxFileError: If it is no ONNX file, damaged, or another file that it needs is
            missing.
    """
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, threads
    _check_content(path)
    errors: tuple[type[Exception], ...] = (*run_errors(), ValueError)
    try:
        return runtime.InferenceSession(
            os.fspath(path), options, providers=["CPUExecutionProvider"]
        )
    except errors as err:
        raise OnnxFileError(_explained(path, str(err))) from err


def onnx_graph(path: str | os.PathLike[str]) -> Any:
    """Read the graph of a file, without the numbers that lie in other files.

    Args:
        path: The file.

    Raises:
        OSError: If the file cannot be read.
        OnnxFileError: If it is no ONNX file, or damaged.
    """
    _check_content(path)
    onnx = import_module("onnx")
    decode_error = import_module("google.protobuf.message").DecodeError
    try:
        return onnx.load(os.fspath(path), load_external_data=False).graph
    except (decode_error, ValueError) as err:
        raise OnnxFileError(_explained(path, str(err))) from err


def _check_content(path: str | os.PathLike[str]) -> None:
    with Path(path).open("rb") as file:
        if not file.read(1):
            raise OnnxFileError(
                f"ONNX file '{path}' is empty. Copy it again, or export the model anew."
            )


def run_errors() -> tuple[type[Exception], ...]:
    """List what ONNX Runtime raises on files and inputs that are not as they should."""
    runtime = import_module("onnxruntime")
    states = runtime.capi.onnxruntime_pybind11_state
    names = (
        *("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel"),
        *("NoSuchFile", "NotImplemented", "RuntimeException"),
    )
    return tuple(getattr(states, name) for name in names)


def _explained(path: str | os.PathLike[str], reason: str) -> str:
    short = " ".join(reason.split())[:200]
    if "external" in reason.lower() or "model_path" in reason:
        return (
            f"ONNX file '{path}' keeps its weights in another file, which is missing "
            f"or cut short ({short}). Copy that file beside it, or export the model "
            "anew."
        )
    if "pars" in reason.lower():
        return (
            f"'{path}' is no ONNX file that can be opened; it is damaged, cut short or "
            f"of another format ({short}). Copy it again, or export the model anew."
        )
    return (
        f"ONNX Runtime cannot run the file '{path}' ({short}). Export the model anew, "
        "or with another opset."
    )
