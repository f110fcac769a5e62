# Every linear operation is a product of broadcast tensors that is summed over some
# dims. Written so, one line serves plain, grouped, depthwise and transposed
# convolutions, matrix products and attention: merge the factors, then reduce.
"""Convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from ..fields import (
    line_field,
    reshaped,
    squeezed,
    varying,
    with_last,
    without_last,
)
from ..flow import Fields, Flow, aligned
from ..trace import OpCall
from .table import argument, rule


@rule(
    "aten::convolution",
    "aten::_convolution",
    "aten::convolution_overrideable",
    "aten::mkldnn_convolution",
    "aten::cudnn_convolution",
)
def convolution(flow: Flow, call: OpCall) -> None:
    """Tie inputs to the weight's inputs; hand on the weight's outputs."""
    x, weight = call.args[0], call.args[1]
    bias = argument(call, 2, "bias")
    transposed = bool(call.args[6]) if len(call.args) > 8 else False
    groups = call.args[8] if len(call.args) > 8 else call.args[-1]
    flow.set(
        call.result,
        convolved(flow, x, weight, bias, call.result, groups, transposed),
    )


def convolved(
    flow: Flow,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    result: Tensor,
    groups: int,
    transposed: bool = False,
) -> Fields:
    """Return the fields of a convolution's result.

    Joint dims of the product: batch, group, output of the group, input of the group.
    """
    outputs, inputs = result.shape[1], x.shape[1]
    joint = [x.shape[0], groups, outputs // groups, inputs // groups]
    x_fields = []
    for field in channels_only(flow, x, range(2)):
        lines = reshaped(without_last(field, x.dim() - 2), (joint[0], groups, joint[3]))
        if {1, 2} <= set(varying(lines)):
            flow.grid(lines, prefer=1)
        x_fields.append(lines[:, :, None, :])
    weight_fields = []
    for field in channels_only(flow, weight, range(2)):
        two = without_last(field, weight.dim() - 2)
        if transposed:  # (inputs, outputs of a group)
            grid = reshaped(two, (groups, joint[3], joint[2])).transpose(1, 2)
        else:  # (outputs, inputs of a group)
            grid = reshaped(two, (groups, joint[2], joint[3]))
        if {0, 1} <= set(varying(grid)) or {0, 2} <= set(varying(grid)):
            flow.grid(grid, prefer=0)
        weight_fields.append(grid[None])
    operands = [
        ([joint[0], groups, 1, joint[3]], x_fields),
        ([1, *joint[1:]], weight_fields),
    ]
    if transposed and groups > 1 and joint[2] > 1:
        # all groups share the weight's output axis, but each makes outputs of its own
        shape = [1, groups, joint[2], 1]
        operands.append((shape, [flow.fresh(outputs).view(shape)]))
    product = flow.merge(operands, joint, prefer=[1])
    if groups > 1:
        for field in product:
            if 1 in varying(field):
                flow.size_argument(groups, field, 1)
    summed = flow.reduce(product, [3])
    summed = flow.merge([(joint[:3], summed)], joint[:3])  # groups, in groups and all
    fields = [reshaped(field, (joint[0], outputs)) for field in summed]
    if bias is not None:
        bias_fields = [f[None] for f in flow.of(bias)]
        fields = flow.merge(
            [([joint[0], outputs], fields), ([1, outputs], bias_fields)],
            (joint[0], outputs),
        )
    space = result.dim() - 2
    return [with_last(field, space).expand(result.shape) for field in fields]


def channels_only(
    flow: Flow,
    tensor: Tensor,
    keep: Collection[int],
    reason: str = "lies along space or a kernel",
) -> Fields:
    """Freeze what lies along other dims, and return the fields over some.

    Args:
        flow: The flow.
        tensor: The tensor.
        keep: Dims along which channels may go.
        reason: Why nothing goes along the others.
    """
    kept = []
    for field in flow.of(tensor):
        inside = varying(field)
        near = tuple(dim for dim in inside if dim in keep)
        for dim in inside:
            if dim not in keep:
                flow.forbid(field, dim, reason)
        if near and len(near) < len(inside):
            field = flow.project(field, near)
        if near:
            kept.append(field)
    return kept


@rule("aten::mm", "aten::bmm", "aten::mv", "aten::dot", "aten::vdot")
def product(flow: Flow, call: OpCall) -> None:
    """Multiply matrices."""
    flow.set(call.result, multiplied(flow, call.args[0], call.args[1]))


@rule("aten::addmm", "aten::baddbmm", "aten::addmv", "aten::addbmm")
def product_and_sum(flow: Flow, call: OpCall) -> None:
    """Multiply matrices and add a bias."""
    bias, a, b = call.args[:3]
    result = call.result
    fields = multiplied(flow, a, b)
    operands = [
        aligned(bias, flow.of(bias), result.dim()),
        (list(result.shape), fields),
    ]
    flow.set(result, flow.merge(operands, result.shape))


def multiplied(flow: Flow, a: Tensor, b: Tensor) -> Fields:
    """Return the fields of ``a @ b`` for shapes ``(..., N, K)`` and ``(..., K, M)``."""
    a_fields, b_fields = flow.of(a), flow.of(b)
    a_shape, b_shape = list(a.shape), list(b.shape)
    a_vector, b_vector = a.dim() == 1, b.dim() == 1
    if a_vector:
        a_shape, a_fields = [1, *a_shape], [f[None] for f in a_fields]
    if b_vector:
        b_shape, b_fields = [*b_shape, 1], [f[..., None] for f in b_fields]
    joint = [*a_shape, b_shape[-1]]
    operands = [
        ([*a_shape, 1], [f[..., None] for f in a_fields]),
        ([*b_shape[:-2], 1, *b_shape[-2:]], [f.unsqueeze(-3) for f in b_fields]),
    ]
    batch = range(len(joint) - 3)
    summed = flow.reduce(flow.merge(operands, joint, batch), [len(joint) - 2])
    if a_vector:
        summed = [f.select(-2, 0) for f in summed]
    return [f.select(-1, 0) for f in summed] if b_vector else summed


@rule("aten::linear")
def linear(flow: Flow, call: OpCall) -> None:
    """Multiply by a transposed weight."""
    x, weight = call.args[0], call.args[1]
    bias = argument(call, 2, "bias")
    flow.set(weight_t := weight.t(), [f.t() for f in flow.of(weight)])
    flat = x.reshape(-1, x.shape[-1])
    flow.set(flat, [reshaped(f, flat.shape) for f in flow.of(x)])
    fields = [reshaped(f, call.result.shape) for f in multiplied(flow, flat, weight_t)]
    if bias is not None:
        operands = [
            (list(call.result.shape), fields),
            aligned(bias, flow.of(bias), call.result.dim()),
        ]
        fields = flow.merge(operands, call.result.shape)
    flow.set(call.result, fields)


@rule("aten::embedding")
def embedding(flow: Flow, call: OpCall) -> None:
    """Look rows up: the columns are channels, the rows are not."""
    weight, result = call.args[0], call.result
    fields = []
    for field in flow.of(weight):
        if 0 in varying(field):
            flow.forbid(field, 0, "is looked up by number")
        else:
            line = squeezed(field)
            fields.append(line_field(line, result.shape, result.dim() - 1))
    flow.set(result, fields)
