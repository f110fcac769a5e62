"""Write a quantized model to ONNX with the integers that it stands for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..models.quantizers import Quantizer, quantizer_of
from ..models.quantizers.qdq import written_as_qdq
from .onnx_check import OnnxExportError

#: Of the largest output. Where torch's sum of a layer is near the middle of two
#: integers, a runtime's may be rounded to the other one; later layers add these up.
TOLERANCE = 0.1


@contextmanager
def integers_written(model: nn.Module) -> Iterator[Quantizer | None]:
    """Let the Quantizer of a model, if it has one, write pairs into its graph."""
    quantizer = quantizer_of(model)
    if quantizer is None:
        yield None
        return
    with written_as_qdq(quantizer):
        yield quantizer


def check_calibrated(model: nn.Module) -> None:
    """Return quietly if a model that is to be quantized has ranges, or is in float.

    Raises:
        OnnxExportError: If it is not calibrated.
    """
    quantizer = quantizer_of(model)
    if quantizer is not None and not quantizer.ready:
        raise OnnxExportError(
            f"{type(model).__name__} is to be quantized and has no ranges. Calibrate "
            "it, or load a checkpoint of it, before it is exported."
        )


def check_integers(graph: Any, quantizer: Quantizer) -> None:
    """Return quietly if the integers of every quantized weight are in a graph.

    Layers with one weight may share it there; weights that are equal may be merged.

    Args:
        graph: The ONNX model.
        quantizer: Of the model that it was made of, while pairs are written.

    Raises:
        OnnxExportError: If those of a layer are not, as if it was left in float.
    """
    found = _integers_in(graph)
    for site in quantizer.layers():
        kept: Tensor | None = quantizer.step_at(site).weight.kept
        if kept is not None and _content(kept.cpu().numpy()) not in found:
            raise OnnxExportError(
                f"the graph does not hold the weight of '{site}' in integers"
            )


def _integers_in(graph: Any) -> set[tuple[Any, ...]]:
    """Return the constant integers that a graph makes real numbers of."""
    to_array = import_module("onnx").numpy_helper.to_array
    nodes = [*graph.graph.node, *(n for f in graph.functions for n in f.node)]
    wanted = {n.input[0] for n in nodes if n.op_type == "DequantizeLinear"}
    tensors = {one.name: one for one in graph.graph.initializer}
    for node in nodes:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            tensors[node.output[0]] = node.attribute[0].t
    return {_content(to_array(tensors[name])) for name in wanted & tensors.keys()}


def _content(array: np.ndarray) -> tuple[Any, ...]:
    return str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).digest()
