"""Compare an ONNX file, run in ONNX Runtime, with the model it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models.architectures.onnx_session import onnx_session
from .onnx_graph import TensorFunction, with_batch


class OnnxExportError(RuntimeError):
    """No file could be written that gives the model's outputs."""


def largest_difference(
    function: TensorFunction,
    path: Path,
    dynamic: bool,
    tolerance: float,
    in_float: Callable[[], AbstractContextManager] | None = None,
) -> float:
    """Return the largest relative difference over all outputs and several inputs.

    Args:
        function: The model, in eval mode.
        path: The ONNX file.
        dynamic: Try another batch size too.
        tolerance: Largest difference accepted, relative to the output's largest value.
        in_float: For a quantized model, lets it run in float: an output may differ by
            twice as much as quantization changed it, which is a step or two of one
            that is small for its scale.

    Raises:
        OnnxExportError: If an output differs by more, or in shape.
    """
    run = _runtime(path)
    return max(
        _difference(function, run, tensors, tolerance, in_float)
        for tensors in _trials(function, dynamic)
    )


def _runtime(path: Path) -> Callable[[Mapping[str, Tensor]], list[Any]]:
    session = onnx_session(path)
    wanted = {entry.name: entry.type for entry in session.get_inputs()}

    def run(tensors: Mapping[str, Tensor]) -> list[Any]:
        # An input that the model does not use is no input of the graph.
        fed = {
            name: (tensor.float() if wanted[name] == "tensor(float)" else tensor)
            for name, tensor in tensors.items()
            if name in wanted
        }
        return session.run(None, {name: one.cpu().numpy() for name, one in fed.items()})

    return run


def _trials(function: TensorFunction, dynamic: bool) -> Iterator[tuple[Tensor, ...]]:
    """Give the inputs to compare on: the example, random ones, another batch size."""
    yield function.tensors
    generator = torch.Generator().manual_seed(1)
    noise = tuple(_like(tensor, generator) for tensor in function.tensors)
    yield noise
    if dynamic:
        yield with_batch(noise, 3 if function.batch_size != 3 else 2)


def _like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.flip(-1) if tensor.dim() else tensor
    scale = float(tensor.float().std()) if tensor.numel() > 1 else 1.0
    values = torch.randn(tensor.shape, generator=generator) * (scale or 1.0)
    return values.to(tensor.device, tensor.dtype)


def _difference(
    function: TensorFunction,
    run: Callable[[Mapping[str, Tensor]], list[Any]],
    tensors: tuple[Tensor, ...],
    tolerance: float,
    in_float: Callable[[], AbstractContextManager] | None,
) -> float:
    expected = function(*tensors)
    plain = expected
    if in_float is not None:
        with in_float():
            plain = function(*tensors)
    given = dict(zip(function.input_names, tensors, strict=True))
    largest = 0.0
    names = function.output_names
    found = zip(names, expected, plain, run(given), strict=True)
    for name, value, float_value, array in found:
        ours = value.cpu().double()
        theirs = torch.from_numpy(array).double()
        if ours.shape != theirs.shape:
            raise OnnxExportError(
                f"output '{name}' has shape {tuple(theirs.shape)} in ONNX Runtime and "
                f"{tuple(ours.shape)} in torch"
            )
        if ours.numel() == 0:
            continue
        scale = float(ours.abs().max().clamp(min=1e-12))
        difference = float((ours - theirs).abs().max()) / scale
        allowed = tolerance
        if in_float is not None and ours.shape == float_value.shape:
            error = float((ours - float_value.cpu().double()).abs().max())
            allowed = max(tolerance, 2 * error / scale)
        if not difference <= allowed:
            raise OnnxExportError(
                f"output '{name}' differs by {difference:.2e} of its largest value "
                f"between ONNX Runtime and torch, more than tolerance={allowed:g}"
            )
        largest = max(largest, difference)
    return largest
