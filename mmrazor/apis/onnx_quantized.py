"""Write a quantized model to ONNX with the integers that it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ..models.quantizers import Quantizer, quantizer_of
from ..models.quantizers.qdq import written_as_qdq
from .onnx_check import OnnxExportError

#: Of the largest output. Where torch's sum of a layer is near the middle of two
#: integers, a runtime's may be rounded to the other one; later layers add these up.
TOLERANCE = 0.1


@contextmanager
def integers_written(model: nn.Module) -> Iterator[Quantizer | None]:
    """Let the Quantizer of a model, if it has one, write pairs into its graph.

    Raises:
        OnnxExportError: If it is not calibrated.
    """
    quantizer = quantizer_of(model)
    if quantizer is None:
        yield None
        return
    if not quantizer.ready:
        raise OnnxExportError(
            f"{type(model).__name__} is to be quantized and has no ranges. Calibrate "
            "it, or load a checkpoint of it, before it is exported."
        )
    with written_as_qdq(quantizer):
        yield quantizer


def check_integers(graph: Any, quantizer: Quantizer) -> None:
    """Return quietly if every quantized weight is kept in integers.

    Args:
        graph: The ONNX model.
        quantizer: Of the model that it was made of.

    Raises:
        OnnxExportError: If there are fewer pairs than that.
    """
    found = Counter(node.op_type for node in graph.graph.node)["DequantizeLinear"]
    wanted = len(quantizer.layers())
    if found < wanted:
        raise OnnxExportError(
            f"the graph has {found} DequantizeLinear for {wanted} quantized weights"
        )
