# The output of a QuantizeLinear is that of the layer that ONNX Runtime fuses it with:
# making it an output of the graph changes no fusion.
"""Integers of activations, in torch and in an ONNX graph, in the order of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_MOVES = {"Flatten", "Identity", "MaxPool", "Reshape", "Squeeze", "Unsqueeze"}


@dataclass
class Rounded:
    """What a quantizer made of a value.

    Args:
        name: Of the quantizer.
        scale: Step between integers.
        zero_point: Integer that stands for 0.
        integers: The value, in integers.
    """

    name: str
    scale: float
    zero_point: int
    integers: Tensor


@contextmanager
def integers_of(quantizer: Any) -> Iterator[list[Rounded]]:
    """Collect what quantizers of activations make of values, in the order of the run.

    Args:
        quantizer: A calibrated Quantizer, whose model runs meanwhile.
    """
    seen: list[Rounded] = []

    def keep(name: str, module: nn.Module, args: tuple) -> None:
        one: Any = module
        numbers = float(one.scale), int(one.zero_point)
        seen.append(Rounded(name, *numbers, one.quantized_(args[0]).to(torch.int16)))

    handles = [
        module.register_forward_pre_hook(partial(keep, name))
        for name, module in quantizer.activations.items()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def expose_integers(path: Path, target: Path) -> list[tuple[float, int]]:
    """Make the integers of activations outputs of an ONNX graph, behind its own.

    Pairs behind calls that only move integers repeat what is before them: they are left
    out.

    Args:
        path: The file.
        target: Where the changed graph goes.

    Returns:
        Scale and zero point of each, in the order of the graph.
    """
    onnx = import_module("onnx")
    model = onnx.load(str(path))
    makers = {name: node for node in model.graph.node for name in node.output}
    held = {
        one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer
    }
    for node in model.graph.node:
        if node.op_type == "Constant":
            held[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    found = []
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or _is_moved(node, makers):
            continue
        scale, zero_point = (held[name] for name in node.input[1:3])
        kind = onnx.helper.np_dtype_to_tensor_dtype(zero_point.dtype)
        value = onnx.helper.make_tensor_value_info(node.output[0], kind, None)
        model.graph.output.append(value)
        found.append((float(scale), int(zero_point)))
    onnx.save(model, str(target))
    return found


def check_scales(seen: Sequence[Rounded], scales: Sequence[tuple[float, int]]) -> None:
    """Return quietly if a graph rounds as torch does, in the same order.

    Raises:
        ValueError: If not.
    """
    ours = [(one.scale, one.zero_point) for one in seen]
    if ours != list(scales):
        raise ValueError(
            f"The graph rounds {len(scales)} values, torch {len(ours)}, or with other "
            f"scales: {scales} in the graph, {ours} in torch."
        )


def _is_moved(node: Any, makers: dict[str, Any]) -> bool:
    before = makers.get(node.input[0])
    while before is not None and before.op_type in _MOVES:
        before = makers.get(before.input[0])
    return before is not None and before.op_type == "DequantizeLinear"
