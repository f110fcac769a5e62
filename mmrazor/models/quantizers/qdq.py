# ONNX says what is quantized by pairs of QuantizeLinear and DequantizeLinear around
# values; a runtime fuses them with the operations between. While a model is exported,
# modules that write such pairs stand in the place of the quantizers. ONNX Runtime moves
# integers through a MaxPool or Reshape if one pair, which all readers share, stands
# behind it with the scale of what goes in; and a linear layer that it makes a Gemm of
# (rows, or all sizes known) runs in integers, whatever its output is, if its bias is
# int32 in steps of input times weight. Else it is a MatMul, and the bias is added.
"""Write quantizers into an ONNX graph as QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from .bias import RoundBias, sum_scale
from .folding import along
from .processor import sums_saturate
from .settings import QuantSettings
from .shapes import spread
from .steps import Step

_INT32 = torch.iinfo(torch.int32)
_LARGEST_BIAS = 2**30  # half of what int32 holds: the rest is for what is added to it


class ActivationQDQ(nn.Module):
    """Quantize and dequantize a value in an exported graph; fake-quantize elsewhere.

    Args:
        quantizer: A calibrated quantizer of one scale.
    """

    def __init__(self, quantizer: Any) -> None:
        super().__init__()
        self.quantizer = quantizer
        settings: QuantSettings = quantizer.settings_now
        self.dtype = torch.int8 if settings.signed else torch.uint8
        self.scale = quantizer.scale.detach().float().reshape(())
        self.zero_point = quantizer.zero_point.detach().reshape(()).to(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the value as the integers give it."""
        if not torch.onnx.is_in_onnx_export():
            return self.quantizer(x)
        q = _quantized(x, self.scale, self.zero_point)
        return _dequantized(q, self.scale, self.zero_point, None, x)


class ConstantQDQ(nn.Module, ABC):
    """A tensor that is kept in integers in an exported graph.

    Exporters run a model before they write it: the integers are made then.

    Args:
        outside: What rounds the tensor where no graph is written.
        axis: That the scale goes along, if there is more than one.
    """

    def __init__(self, outside: nn.Module, axis: int = 0) -> None:
        super().__init__()
        self.outside, self.axis = outside, axis
        self._kept: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def kept(self) -> Tensor | None:
        """The integers that the graph keeps; None if the layer has not run."""
        return None if self._kept is None else self._kept[0]

    @abstractmethod
    def integers(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return integers, scale and zero point as the graph keeps them."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the tensor as the integers give it."""
        if not torch.onnx.is_in_onnx_export():
            self._kept = self.integers(x.detach())
            outside: Tensor = self.outside(x)
            return outside
        assert self._kept is not None
        integers, scale, zero_point = self._kept
        axis = self.axis if scale.dim() == 1 else None
        return _dequantized(integers, scale, zero_point, axis, x)


class WeightQDQ(ConstantQDQ):
    """A weight in integers.

    Args:
        quantizer: Its quantizer.
        axis: Of its output channels.
        centred: Write 8 signed bits as unsigned ones around 128.
    """

    def __init__(self, quantizer: Any, axis: int, centred: bool) -> None:
        super().__init__(quantizer, axis)
        settings: QuantSettings = quantizer.settings_now
        full = settings.signed and settings.bits == 8 and not settings.reduce
        self.shift = 128 if full and centred else 0
        signed = settings.signed and not self.shift
        self.dtype = torch.int8 if signed else torch.uint8

    def integers(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return integers, scale and zero point as the graph keeps them."""
        quantizer: Any = self.outside
        integers = quantizer.quantized_(x) + self.shift
        zero_point = quantizer.zero_point.detach() + self.shift
        scale = quantizer.scale.detach().float()
        return integers.to(self.dtype), scale, zero_point.to(self.dtype)

    def hold_(self, bias: Tensor, step: Tensor) -> None:
        """Take larger steps where the runtime could not add a bias to sums of these.

        That is so in channels whose weights are next to nothing beside the bias.

        Args:
            bias: Of the layer, shape ``(C,)``.
            step: Of what the layer is given.
        """
        assert self._kept is not None
        integers, scale, zero_point = self._kept
        size = bias.detach().double().abs()
        least = (size if scale.dim() else size.amax()) / (step * _LARGEST_BIAS)
        if bool((scale >= least).all()):
            return
        wider = torch.maximum(scale, least).float()
        quantizer: Any = self.outside
        settings, axis = quantizer.settings_now, quantizer.axis
        pair = zero_point, scale / wider
        zeros, ratio = (spread(part, integers, settings, axis) for part in pair)
        steps = (integers.float() - zeros) * ratio
        self._kept = (steps.round() + zeros).to(self.dtype), wider, zero_point


class HeldBias(nn.Module):
    """A bias that is left to the runtime, which rounds it to int32.

    Args:
        given: Quantizer of what the layer is given.
        weight: Its weight, whose steps are made large enough.
    """

    def __init__(self, given: Any, weight: WeightQDQ) -> None:
        super().__init__()
        self.weight, self.step = weight, given.scale.detach()

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        """Return the bias as it is."""
        if not torch.onnx.is_in_onnx_export():
            self.weight.hold_(x, self.step)
        return x


class BiasQDQ(ConstantQDQ):
    """A bias in integers of 32 bits, whose step is that of a product.

    One that is too large for them stays in float.

    Args:
        given: Quantizer of what the layer is given.
        weight: Quantizer of its weight.
    """

    def __init__(self, given: Any, weight: Any) -> None:
        super().__init__(nn.Identity())
        self._fits = True
        self.scale = sum_scale(given, weight).float()

    def integers(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return integers, scale and zero point as the graph keeps them."""
        steps = torch.round(x.double() / self.scale)
        self._fits = bool((steps.abs() <= _INT32.max).all())
        steps = steps.clamp(_INT32.min, _INT32.max)
        zero_point = torch.zeros_like(self.scale, dtype=torch.int32)
        return steps.to(torch.int32), self.scale, zero_point

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Return the bias as the integers give it, where that is of use.

        Args:
            x: The bias.
            given: What the layer is given.
        """
        if torch.onnx.is_in_onnx_export() and not self._fits:
            return x
        if given is None or given.dim() == 2:
            return super().forward(x)
        known = all(isinstance(size, int) for size in given.shape)
        return super().forward(x) if known else x


def _quantized(x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    if torch.jit.is_tracing():
        return cast(Tensor, _TracedQuantize.apply(x, scale, zero_point))
    return torch.onnx.ops.symbolic(
        "QuantizeLinear",
        (x, scale, zero_point),
        dtype=zero_point.dtype,
        shape=x.shape,
        version=19,
    )


def _dequantized(
    q: Tensor, scale: Tensor, zero_point: Tensor, axis: int | None, like: Tensor
) -> Tensor:
    if torch.jit.is_tracing():
        return cast(Tensor, _TracedDequantize.apply(q, scale, zero_point, axis))
    return torch.onnx.ops.symbolic(
        "DequantizeLinear",
        (q, scale, zero_point),
        {} if axis is None else {"axis": axis},
        dtype=torch.float32,
        shape=like.shape,
        version=19,
    )


class _TracedQuantize(torch.autograd.Function):
    """QuantizeLinear for the exporter that traces: it runs what it writes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        """Return the integers."""
        limits = torch.iinfo(zero_point.dtype)
        steps = torch.round(x / scale) + zero_point
        return steps.clamp(limits.min, limits.max).to(zero_point.dtype)

    @staticmethod
    def symbolic(graph: Any, x: Any, scale: Any, zero_point: Any) -> Any:
        """Write the node."""
        return graph.op("QuantizeLinear", x, scale, zero_point)


class _TracedDequantize(torch.autograd.Function):
    """DequantizeLinear for the exporter that traces."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, scale: Tensor, zero_point: Tensor, axis: int | None
    ) -> Tensor:
        """Return the numbers that the integers stand for."""
        if axis is not None:
            scale, zero_point = (along(one, axis, q) for one in (scale, zero_point))
        return (q.float() - zero_point) * scale

    @staticmethod
    def symbolic(
        graph: Any, q: Any, scale: Any, zero_point: Any, axis: int | None
    ) -> Any:
        """Write the node."""
        attributes = {} if axis is None else {"axis_i": axis}
        return graph.op("DequantizeLinear", q, scale, zero_point, **attributes)


@contextmanager
def written_as_qdq(quantizer: Any) -> Iterator[None]:
    """Let a Quantizer write pairs into a graph that is exported meanwhile.

    Args:
        quantizer: Calibrated, for the model that is exported.
    """
    before = quantizer._steps
    quantizer._steps = _written(quantizer)
    try:
        yield
    finally:
        quantizer._steps = before


def _written(quantizer: Any) -> dict[Any, Step]:
    steps: dict[Any, Step] = quantizer.steps()
    for site, source in quantizer.places.moved.items():
        steps.setdefault(site, Step()).output = quantizer.step_at(source).output
    centred = quantizer.backend.centred_weights and sums_saturate()
    made: dict[int, ActivationQDQ] = {}

    def pair(module: nn.Module) -> ActivationQDQ:
        return made.setdefault(id(module), ActivationQDQ(module))

    for step in steps.values():
        step.inputs = {place: pair(module) for place, module in step.inputs.items()}
        if step.output is not None:
            step.output = pair(step.output)
        if step.weight is None:
            continue
        weight = WeightQDQ(step.weight, step.axis, centred)
        if isinstance(step.bias, RoundBias):
            given, rows = step.bias.given, step.bias.rows
            step.bias = BiasQDQ(given, step.weight) if rows else HeldBias(given, weight)
        step.weight = weight
    return steps
