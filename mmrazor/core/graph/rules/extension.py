# Legend of the compiled functions of mmcv: outputs are arguments too, so each rule
# knows which position is what.
"""Operators of torchvision and of mmcv that are no ATen operations."""

from __future__ import annotations

from torch import Tensor

from ..fields import line_field, squeezed
from ..flow import Flow
from ..trace import OpCall, tensors_in
from .contraction import channels_only, convolved
from .table import rule


def _pooled(flow: Flow, x: Tensor, result: Tensor) -> None:
    """Hand on the channels of a feature map to regions pooled from it."""
    fields = []
    for field in channels_only(flow, x, flow.of(x), 2):
        line = squeezed(field)
        if line.dim() == 1 and len(line) == result.shape[1]:
            fields.append(line_field(line, result.shape, 1))
        else:
            flow.freeze([field], "is pooled by regions across batches")
    flow.set(result, fields)


@rule("torchvision::roi_align", "torchvision::roi_pool")
def torchvision_regions(flow: Flow, call: OpCall) -> None:
    """Pool regions."""
    result = call.result if isinstance(call.result, Tensor) else call.result[0]
    _pooled(flow, call.args[0], result)


@rule("mmcv::roi_align_forward", "mmcv::roi_pool_forward")
def mmcv_regions(flow: Flow, call: OpCall) -> None:
    """Pool regions: input, regions, output."""
    _pooled(flow, call.args[0], call.args[2])


@rule("torchvision::nms", "mmcv::nms", "mmcv::softnms")
def suppression(flow: Flow, call: OpCall) -> None:
    """Pick boxes: their numbers are no channels."""
    for tensor in tensors_in(call.args):
        flow.freeze(flow.of(tensor), "is picked by value")


def _deformable(
    flow: Flow,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    fixed: list[Tensor],
    result: Tensor,
    groups: int,
) -> None:
    for tensor in fixed:
        flow.freeze(flow.of(tensor), "says where a deformable convolution looks")
    shaped = result.reshape(x.shape[0], -1, *result.shape[-2:])
    fields = convolved(flow, x, weight, bias, shaped, groups)
    flow.set(result, [field.reshape(result.shape) for field in fields])


@rule("torchvision::deform_conv2d")
def torchvision_deformable(flow: Flow, call: OpCall) -> None:
    """Deformable convolution: input, weight, offset, mask, bias, ..., groups."""
    x, weight, offset, mask, bias = call.args[:5]
    _deformable(flow, x, weight, bias, [offset, mask], call.result, call.args[11])


@rule("mmcv::modulated_deform_conv_forward")
def mmcv_modulated(flow: Flow, call: OpCall) -> None:
    """Modulated deformable convolution of mmcv."""
    x, weight, bias, _, offset, mask, result = call.args[:7]
    groups = call.kwargs.get("group", 1)
    with_bias = call.kwargs.get("with_bias", False)
    _deformable(
        flow, x, weight, bias if with_bias else None, [offset, mask], result, groups
    )


@rule("mmcv::deform_conv_forward")
def mmcv_deformable(flow: Flow, call: OpCall) -> None:
    """Deformable convolution of mmcv: input, weight, offset, output."""
    x, weight, offset, result = call.args[:4]
    _deformable(flow, x, weight, None, [offset], result, call.kwargs.get("group", 1))


@rule("mmcv::carafe_forward", "mmcv::carafe_naive_forward")
def carafe(flow: Flow, call: OpCall) -> None:
    """Reassemble features by predicted kernels: features, masks, ..., output."""
    x, masks = call.args[0], call.args[1]
    outputs = [
        t
        for t in tensors_in(call.args[2:])
        if t.dim() == 4 and t.shape[:2] == x.shape[:2] and t.shape[2] > x.shape[2]
    ]
    flow.freeze(flow.of(masks), "holds the kernels of CARAFE")
    for result in outputs:
        _pooled(flow, x, result)


@rule("mmcv::ms_deform_attn_forward")
def deformable_attention(flow: Flow, call: OpCall) -> None:
    """Multi-scale deformable attention: values (B, T, heads, width), ..., weights."""
    value, result = call.args[0], call.result
    locations, weights = call.args[3], call.args[4]
    heads, width = value.shape[2:]
    joint = [1, heads, width]
    operands = []
    for tensor in (value, locations, weights):
        place = 2
        size = [1, heads, width if tensor is value else 1]
        lines = []
        for field in flow.of(tensor):
            spread = field.movedim(place, 1)
            front = spread[0]
            while front.dim() > 2:
                front = front.select(1, 0)
            lines.append(front[None] if tensor is value else front[None, :, :1])
        operands.append((size, lines))
    merged = flow.merge(operands, joint)
    fields = []
    for field in merged:
        line = field.reshape(heads * width)
        fields.append(line_field(line, result.shape, result.dim() - 1))
    flow.set(result, fields)
