# ONNX Runtime has layers for float32; of the other types it has few on a CPU, and its
# integers stand for float32 numbers. And a graph has no batch norm between a weight in
# integers and the sums that it is part of. So what is exported may be a copy of a
# model, and the file is compared with both.
"""The model that an ONNX file is written of: the user's own, or a copy in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.forward import evaluating, map_tensors
from ..models.quantizers import Quantizer, quantizer_of
from .onnx_check import OnnxExportError
from .onnx_graph import TensorFunction

_FLOATS = (torch.float16, torch.bfloat16, torch.float64)
#: Roundings of a type that the layers of a network may add up to.
_ROUNDINGS = 16


@dataclass(frozen=True)
class Reference:
    """A model that a file is compared with.

    Args:
        function: The model.
        tolerance: Largest relative difference accepted, unless the user says another.
        in_float: Of a quantized model, lets it run in float.
    """

    function: TensorFunction
    tolerance: float
    in_float: Callable[[], AbstractContextManager] | None = None


@dataclass(frozen=True)
class OnnxSource:
    """What a file is written of.

    Args:
        function: The model that the exporter gets.
        quantizer: Its Quantizer, None for a float model.
        references: What the file is compared with; the user's own model is the last.
        copied_from: Type that the user's model computes in, if ``function`` is a copy
            in float32.
        is_last: Whether there is no other source to try.
    """

    function: TensorFunction
    quantizer: Quantizer | None
    references: tuple[Reference, ...]
    copied_from: torch.dtype | None = None
    is_last: bool = True


def checked_function(model: nn.Module, inputs: Any) -> TensorFunction:
    """Return a model as a function of tensors, if it runs on its inputs.

    Args:
        model: In eval mode.
        inputs: What it is called with.

    Raises:
        OnnxExportError: If it does not run and its type is not that of its inputs.
    """
    try:
        return TensorFunction(model, inputs)
    except (RuntimeError, TypeError) as err:
        own = {tensor.dtype for tensor in _tensors_of(model)}
        given: set[torch.dtype] = set()
        map_tensors(inputs, lambda tensor: given.add(tensor.dtype))
        given = {dtype for dtype in given if dtype.is_floating_point}
        if not own or given <= own:
            raise
        names = " and ".join(sorted(_name(dtype) for dtype in own))
        raise OnnxExportError(
            f"{type(model).__name__} is in {names} and does not run on inputs in "
            f"{' and '.join(sorted(_name(dtype) for dtype in given))}. Give inputs of "
            "its type: inputs.to(next(model.parameters()).dtype)."
        ) from err


def sources_of(function: TensorFunction, tolerance: float) -> Iterator[OnnxSource]:
    """Yield what a file can be written of, the likeliest first.

    Args:
        function: The user's model.
        tolerance: Largest relative difference accepted in float32.

    Raises:
        OnnxExportError: If the model cannot be copied.
    """
    quantizer = quantizer_of(function.model)
    others = _other_types(function)
    rounding = max((torch.finfo(dtype).eps for dtype in others), default=0.0)
    in_float = None if quantizer is None else quantizer.in_float
    own = Reference(function, max(tolerance, _ROUNDINGS * rounding), in_float)
    folds = quantizer is not None and bool(quantizer.folds)
    as_it_is = not others or (quantizer is None and torch.bfloat16 not in others)
    if as_it_is and not folds:
        yield OnnxSource(function, quantizer, (own,), is_last=not others)
    if not others and not folds:
        return
    twin = _copied(function.model)
    twin_quantizer = quantizer_of(twin)
    with evaluating(twin):
        if twin_quantizer is not None and twin_quantizer.folds:
            twin_quantizer.fold_(_prepared_part(twin, twin_quantizer))
        if others:
            _to_float32_(twin)
        inputs = map_tensors(function.inputs, _in_float32)
        written = TensorFunction(twin, inputs)
        in_float = None if twin_quantizer is None else twin_quantizer.in_float
        references = Reference(written, tolerance, in_float), own
        copied_from = next(iter(sorted(others, key=str)), None)
        yield OnnxSource(written, twin_quantizer, references, copied_from)


def _other_types(function: TensorFunction) -> set[torch.dtype]:
    """Return what a model computes in that is neither float32 nor integers."""
    tensors = (*_tensors_of(function.model), *function.tensors)
    return {tensor.dtype for tensor in tensors} & set(_FLOATS)


def _tensors_of(model: nn.Module) -> list[Tensor]:
    """Return the real numbers of a model; not those that its quantizers keep."""
    quantizer = quantizer_of(model)
    kept = [] if quantizer is None else [*quantizer.parameters(), *quantizer.buffers()]
    known = {id(tensor) for tensor in kept}
    tensors = (*model.parameters(), *model.buffers())
    return [t for t in tensors if t.is_floating_point() and id(t) not in known]


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except (RuntimeError, TypeError) as err:
        raise OnnxExportError(
            f"{type(model).__name__} cannot be copied to be written in float32: "
            f"{' '.join(str(err).split())[:200]} Call model.float() yourself, and give "
            "inputs in float32."
        ) from err


def _to_float32_(model: nn.Module) -> None:
    """Put all real numbers of a model into float32, plain attributes too."""
    model.float()
    for module in model.modules():
        for name, value in vars(module).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            found: list[Tensor] = []
            map_tensors(value, found.append)
            if found:
                vars(module)[name] = map_tensors(value, _in_float32)


def _in_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _prepared_part(model: nn.Module, quantizer: Quantizer) -> nn.Module:
    """Return the part of a model that a Quantizer was made for."""
    for module in model.modules():
        for hook in module._forward_pre_hooks.values():
            if getattr(hook, "__self__", None) is quantizer:
                return module
    raise AssertionError(f"{type(model).__name__} has no part with its Quantizer")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
