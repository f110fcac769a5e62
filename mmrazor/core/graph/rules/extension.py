# Legend of the compiled functions of mmcv: outputs are arguments too, so each rule
# knows which position is what.
"""Operators of torchvision and of mmcv that are no ATen operations."""

from __future__ import annotations

from torch import Tensor

from ..fields import line_field, squeezed
from ..flow import Flow
from ..trace import OpCall, tensors_in
from .contraction import channels_only, convolved
from .slicing import split_equally
from .table import rule


def _pooled(flow: Flow, x: Tensor, result: Tensor) -> None:
    """Hand on the channels of a feature map to regions pooled from it."""
    fields = []
    for field in channels_only(flow, x, range(2)):
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
    offset_groups: int,
) -> None:
    for tensor in fixed:
        flow.freeze(flow.of(tensor), "says where a deformable convolution looks")
    if offset_groups > 1:  # each looks elsewhere: as many channels have to stay in all
        split_equally(flow, x, 1, offset_groups)
    shaped = result.reshape(x.shape[0], -1, *result.shape[-2:])
    fields = convolved(flow, x, weight, bias, shaped, groups)
    flow.set(result, [field.reshape(result.shape) for field in fields])


@rule("torchvision::deform_conv2d")
def torchvision_deformable(flow: Flow, call: OpCall) -> None:
    """Deformable convolution: input, weight, offset, mask, bias, ..., groups."""
    x, weight, offset, mask, bias = call.args[:5]
    groups, offset_groups = call.args[11:13]
    _deformable(
        flow, x, weight, bias, [offset, mask], call.result, groups, offset_groups
    )


@rule("mmcv::modulated_deform_conv_forward")
def mmcv_modulated(flow: Flow, call: OpCall) -> None:
    """Modulated deformable convolution of mmcv."""
    x, weight, bias, _, offset, mask, result = call.args[:7]
    if not call.kwargs["with_bias"]:
        bias = None
    groups, offset_groups = call.kwargs["group"], call.kwargs["deformable_group"]
    _deformable(flow, x, weight, bias, [offset, mask], result, groups, offset_groups)


@rule("mmcv::deform_conv_forward")
def mmcv_deformable(flow: Flow, call: OpCall) -> None:
    """Deformable convolution of mmcv: input, weight, offset, output."""
    x, weight, offset, result = call.args[:4]
    groups, offset_groups = call.kwargs["group"], call.kwargs["deformable_group"]
    _deformable(flow, x, weight, None, [offset], result, groups, offset_groups)


@rule("mmcv::carafe_forward", "mmcv::carafe_naive_forward")
def carafe(flow: Flow, call: OpCall) -> None:
    """Reassemble features by predicted kernels: features, masks, ..., output."""
    x, masks, result = call.args[0], call.args[1], call.args[-1]
    flow.freeze(flow.of(masks), "holds the kernels of CARAFE")
    groups = call.kwargs["group_size"]
    if groups > 1:  # each has kernels of its own
        split_equally(flow, x, 1, groups)
    _pooled(flow, x, result)


@rule("mmcv::ms_deform_attn_forward")
def deformable_attention(flow: Flow, call: OpCall) -> None:
    """Multi-scale deformable attention: values (B, T, heads, width), ..., weights."""
    value, result = call.args[0], call.result
    heads, width = value.shape[2:]
    operands = [([heads, width], _over(flow, value, (2, 3)))]
    for tensor in call.args[3:5]:  # locations and weights, heads along dim 2 as well
        lines = [field[:, None] for field in _over(flow, tensor, (2,))]
        operands.append(([heads, 1], lines))
    fields = []
    for field in flow.merge(operands, [heads, width], prefer=[0]):
        line = field.reshape(heads * width)
        fields.append(line_field(line, result.shape, result.dim() - 1))
    flow.set(result, fields)


def _over(flow: Flow, tensor: Tensor, dims: tuple[int, ...]) -> list[Tensor]:
    """Return the fields over some dims alone; nothing goes along the others."""
    reason = "are the points of deformable attention"
    place = tuple(slice(None) if d in dims else 0 for d in range(tensor.dim()))
    return [field[place] for field in channels_only(flow, tensor, dims, reason)]
