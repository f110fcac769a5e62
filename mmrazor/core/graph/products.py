# A convolution's MACs are bilinear in its kept inputs and outputs, a product's in rows
# and columns. Each operation becomes a product of dims, each dim a sum over groups.
"""Express MACs and parameters by numbers of kept channels."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor, nn

from ..op_macs import mac_terms
from .fields import squeezed, varying
from .flow import Flow
from .grouping import GroupTable, line_classes
from .id_flow import Ids
from .trace import OpTrace

Extent: TypeAlias = tuple[int, dict[str, int]]
ProductTerm: TypeAlias = tuple[str, int, tuple[Extent, ...]]


def mac_products(recorded: OpTrace, flow: Flow, table: GroupTable) -> list[ProductTerm]:
    """Return the multiply-accumulates of every operation that has a formula."""
    products = []
    for call in recorded.calls:
        for term in mac_terms(call.name, call.args, call.kwargs, call.result) or ():
            dims = [_extent(flow, table, *place) for place in term.dims]
            products.append(_term(call.module, term.factor, dims))
    return products


def counted_lines(recorded: OpTrace, flow: Flow, labels: Ids) -> list[Ids]:
    """Return the classes along every dim that MACs are a product of.

    Those along parameters are left out.
    """
    seen = set()
    lines = {}
    for call in recorded.calls:
        terms = mac_terms(call.name, call.args, call.kwargs, call.result) or ()
        for tensor, dim in (place for term in terms for place in term.dims):
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
