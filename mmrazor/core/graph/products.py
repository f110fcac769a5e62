# A convolution's MACs are bilinear in its kept inputs and outputs, a product's in rows
# and columns. Each operation becomes a product of dims, each dim a sum over groups.
"""Express MACs and parameters by numbers of kept channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from torch import Tensor, nn

from .fields import squeezed, varying
from .flow import Flow
from .grouping import GroupTable, line_classes
from .id_flow import Ids
from .rules.table import PRODUCTS
from .trace import OpCall, OpTrace

Extent: TypeAlias = tuple[int, dict[str, int]]
ProductTerm: TypeAlias = tuple[str, int, tuple[Extent, ...]]
# Convolutions take input and weight first; where those of mmcv put their result.
_RESULTS = {
    "aten::convolution": None,
    "aten::_convolution": None,
    "mmcv::deform_conv_forward": 3,
    "mmcv::modulated_deform_conv_forward": 6,
}


def mac_products(recorded: OpTrace, flow: Flow, table: GroupTable) -> list[ProductTerm]:
    """Return the multiply-accumulates of every convolution and matrix product."""
    terms = []
    for call in recorded.calls:
        dims = [_extent(flow, table, *place) for place in _counted(call)]
        if not dims:
            continue
        factor = 1
        if call.name in _RESULTS:
            factor = _space(call) * call.args[1][0, 0].numel()
        terms.append(_term(call.module, factor, dims))
    return terms


def counted_lines(recorded: OpTrace, flow: Flow, labels: Ids) -> list[Ids]:
    """Return the classes along every dim that MACs are a product of.

    Those along parameters are left out.
    """
    seen = set()
    lines = {}
    for call in recorded.calls:
        for tensor, dim in _counted(call):
            if flow.name_of(tensor) is not None:
                continue
            for field in flow.of(tensor):
                if dim not in varying(field):
                    continue
                ids = squeezed(field)
                key = (ids.data_ptr(), ids.shape, ids.stride(), varying(field), dim)
                if key not in seen:
                    seen.add(key)
                    line = line_classes(labels, field, dim)
                    lines[line.tobytes()] = line
    return list(lines.values())


def _counted(call: OpCall) -> Iterator[tuple[Tensor, int]]:
    """Yield the tensors and dims whose sizes multiply to the MACs, space apart."""
    if call.name in _RESULTS:
        yield call.args[0], 0
        yield call.args[1], 0
        yield call.args[1], 1
    elif call.name in PRODUCTS:
        place = PRODUCTS[call.name]
        a, b = call.args[place], call.args[place + 1]
        for dim in range(a.dim()):
            yield a, dim
        yield b, b.dim() - 1


def _space(call: OpCall) -> int:
    """Return the number of places that a convolution's kernel is applied to."""
    place = _RESULTS[call.name]
    if place is not None:
        return call.args[place][0, 0].numel()
    return (call.args[0] if call.args[6] else call.result)[0, 0].numel()


def parameter_products(model: nn.Module, table: GroupTable) -> list[ProductTerm]:
    """Return the number of elements of every parameter."""
    terms = []
    for name, parameter in model.named_parameters():
        dims: list[Extent] = []
        for axis, size in enumerate(parameter.shape):
            line = table.axes.get((name, axis))
            dims.append((size, {}) if line is None else table.extent_of(line))
        terms.append(_term(name.rpartition(".")[0], 1, dims))
    return terms


def _extent(flow: Flow, table: GroupTable, tensor: Tensor, dim: int) -> Extent:
    best: Extent = (tensor.shape[dim], {})
    for field in flow.of(tensor):
        if dim in varying(field):
            found = table.extent(field, dim)
            if found[1]:
                best = found
    return best


def _term(module: str, factor: int, dims: list[Extent]) -> ProductTerm:
    """Move dims that never change into the factor."""
    for const, per_unit in dims:
        if not per_unit:
            factor *= const
    return module, factor, tuple(dim for dim in dims if dim[1])
