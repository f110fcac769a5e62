"""Open an ONNX file in ONNX Runtime."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any


def onnx_session(path: str | os.PathLike[str], threads: int = 0) -> Any:
    """Open a file on the CPU; of messages, errors alone are shown.

    Args:
        path: The file.
        threads: That it computes with; 0 leaves it to ONNX Runtime.
    """
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, threads
    return runtime.InferenceSession(
        os.fspath(path), options, providers=["CPUExecutionProvider"]
    )
