"""Run a model as ONNX Runtime will, and exporters without their talk and notes."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.forward import device_and_dtype, evaluating, without_fused_layers

#: Packages whose loggers are quiet while a model is exported.
_TALKERS = ("torch", "onnx", "onnxscript", "onnx_ir", "onnxruntime")


@contextmanager
def same_arithmetic(model: nn.Module) -> Iterator[None]:
    """Run the model as ONNX Runtime will: eval mode, full precision, nothing fused."""
    tf32 = torch.backends.cuda.matmul.allow_tf32
    device, _ = device_and_dtype(model)
    devices = [device] if device.type == "cuda" else []
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with (
            torch.random.fork_rng(devices),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
            without_fused_layers(),
            evaluating(model),
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = tf32


@contextmanager
def silence() -> Iterator[None]:
    """Hide the exporters' talk; what goes wrong is raised or found by the checks.

    With ``MMRAZOR_DEBUG=1`` in the environment all of it is shown.
    """
    if os.environ.get("MMRAZOR_DEBUG") == "1":
        yield
        return
    loggers = [
        logging.getLogger(name)
        for name in (*_TALKERS, *logging.root.manager.loggerDict)
        if name.partition(".")[0] in _TALKERS
    ]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def without_notes(path: Path) -> Any:
    """Take out of a file what an exporter notes of each node; return its content.

    That are modules, names of parameters, and lines of source with paths of this
    machine. In a small network they are larger than its integers.
    """
    onnx = import_module("onnx")
    model = onnx.load(str(path))
    del model.metadata_props[:]
    for part in (model.graph, *model.functions):
        values = (*part.value_info, *getattr(part, "initializer", ()))
        for entry in (part, *_nodes(part), *values):
            del entry.metadata_props[:]
            entry.ClearField("doc_string")
    onnx.save(model, str(path))
    return model


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
