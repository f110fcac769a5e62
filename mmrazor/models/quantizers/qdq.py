# ONNX says what is quantized by pairs of QuantizeLinear and DequantizeLinear around
# values; a runtime fuses them with the operations between. While a model is exported,
# modules that write such pairs stand in the place of the quantizers.
"""Write quantizers into an ONNX graph as QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .settings import QuantSettings

# By bits and sign, ONNX's number of the type; torch has none of four bits.
_INT4, _UINT4 = 22, 21


class ActivationQDQ(nn.Module):
    """Quantize and dequantize a value in an exported graph; fake-quantize elsewhere.

    Args:
        quantizer: A calibrated quantizer of one scale.
    """

    def __init__(self, quantizer: Any) -> None:
        super().__init__()
        self.quantizer = quantizer
        settings: QuantSettings = quantizer.settings_now
        self.dtype = _dtype_of(settings)
        self.scale = quantizer.scale.detach().float().reshape(())
        self.zero_point = quantizer.zero_point.detach().reshape(()).to(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the value as the integers give it."""
        if not torch.onnx.is_in_onnx_export():
            return self.quantizer(x)
        given = (x, self.scale, self.zero_point)
        q = torch.onnx.ops.symbolic(
            "QuantizeLinear", given, dtype=self.dtype, shape=x.shape, version=19
        )
        return _dequantized(q, self.scale, self.zero_point, {}, x)


class WeightQDQ(nn.Module):
    """A weight that is kept in integers in an exported graph.

    Args:
        quantizer: Its quantizer.
        axis: Of its output channels.
    """

    def __init__(self, quantizer: Any, axis: int) -> None:
        super().__init__()
        self.quantizer, self.axis = quantizer, axis
        self._kept: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight as the integers give it."""
        if not torch.onnx.is_in_onnx_export():
            # Exporters run a model before they write it: what a graph holds as a
            # constant is made here.
            dtype = _dtype_of(self.quantizer.settings_now)
            self._kept = (
                self.quantizer.quantized_(weight).detach().to(dtype),
                self.quantizer.scale.detach().float(),
                self.quantizer.zero_point.detach().to(dtype),
            )
            return self.quantizer(weight)
        assert self._kept is not None
        integers, scale, zero_point = self._kept
        attributes = {"axis": self.axis} if scale.dim() == 1 else {}
        return _dequantized(integers, scale, zero_point, attributes, weight)


def _dequantized(
    q: Tensor, scale: Tensor, zero_point: Tensor, attributes: dict, like: Tensor
) -> Tensor:
    result: Tensor = torch.onnx.ops.symbolic(
        "DequantizeLinear",
        (q, scale, zero_point),
        attributes,
        dtype=torch.float32,
        shape=like.shape,
        version=19,
    )
    return result


def _dtype_of(settings: QuantSettings) -> torch.dtype:
    return torch.int8 if settings.signed else torch.uint8


@contextmanager
def written_as_qdq(quantizer: Any) -> Iterator[None]:
    """Let a Quantizer write pairs into a graph that is exported meanwhile."""
    before = quantizer._steps
    made: dict[int, ActivationQDQ] = {}

    def pair(module: nn.Module) -> ActivationQDQ:
        return made.setdefault(id(module), ActivationQDQ(module))

    quantizer._connect()
    try:
        for site, place in quantizer.places.moved:
            given = quantizer.input_quantizer(site, place)
            if given is not None:
                quantizer.step_at(site).inputs.setdefault(place, given)
        for step in quantizer._steps.values():
            step.inputs = {place: pair(m) for place, m in step.inputs.items()}
            if step.output is not None:
                step.output = pair(step.output)
            if step.weight is not None:
                step.weight = WeightQDQ(step.weight, step.axis)
        yield
    finally:
        quantizer._steps = before
