"""Norms, reductions, pooling and resizing."""

from __future__ import annotations

from torch import Tensor

from ..fields import reshaped, varying, with_last, without_last
from ..flow import Fields, Flow, aligned
from ..trace import OpCall, tensors_in
from .contraction import channels_only
from .table import REDUCTIONS, argument, first_result, reduced_dims, rule


@rule(
    "aten::native_batch_norm",
    "aten::_native_batch_norm_legit",
    "aten::_native_batch_norm_legit_no_training",
    "aten::_native_batch_norm_legit_functional",
    "aten::_batch_norm_with_update",
    "aten::_batch_norm_no_update",
    "aten::cudnn_batch_norm",
    "aten::miopen_batch_norm",
    "aten::batch_norm",
)
def batch_norm(flow: Flow, call: OpCall) -> None:
    """Tie channels to weight, bias and statistics."""
    x, result = call.args[0], first_result(call)
    parts = [t for t in call.args[1:5] if isinstance(t, Tensor)]
    flow.set(result, _with_channel_vectors(flow, x, flow.of(x), parts))


@rule(
    "aten::native_layer_norm",
    "aten::layer_norm",
    "aten::_fused_rms_norm",
    "aten::rms_norm",
)
def layer_norm(flow: Flow, call: OpCall) -> None:
    """Tie the last dims to weight and bias."""
    x, shape, result = call.args[0], call.args[1], first_result(call)
    vectors = [t for t in call.args[2:4] if isinstance(t, Tensor)]
    operands = [(list(x.shape), flow.of(x))]
    operands += [aligned(v, flow.of(v), x.dim()) for v in vectors]
    fields = flow.merge(operands, x.shape)
    for field in fields:
        for dim in varying(field):
            if dim >= x.dim() - len(shape):
                flow.size_argument(x.shape[dim], field, dim)
    flow.set(result, fields)


@rule("aten::native_group_norm", "aten::group_norm")
def group_norm(flow: Flow, call: OpCall) -> None:
    """Tie channels to weight and bias, and let whole norm groups go, or equal parts."""
    x, result = call.args[0], first_result(call)
    vectors = [t for t in call.args[1:4] if isinstance(t, Tensor)]
    groups = call.args[6] if call.name == "aten::native_group_norm" else call.args[1]
    fields = _with_channel_vectors(flow, x, flow.of(x), vectors)
    batch, channels, *space = x.shape
    shape = [batch, groups, channels // groups, *space]
    for field in fields:
        grid = flow.split_grid(field, shape, prefer=1)
        if groups > 1 and 1 in varying(grid):
            flow.size_argument(groups, grid, 1)
    flow.set(result, fields)


def _with_channel_vectors(
    flow: Flow, x: Tensor, fields: Fields, vectors: list[Tensor]
) -> Fields:
    """Merge fields with those of vectors that lie along dim 1."""
    operands = [(list(x.shape), fields)]
    for vector in vectors:
        shape = [1, len(vector), *[1] * (x.dim() - 2)]
        lines = [with_last(field[None], x.dim() - 2) for field in flow.of(vector)]
        operands.append((shape, lines))
    return flow.merge(operands, x.shape)


@rule("aten::_weight_norm_interface", "aten::_weight_norm")
def weight_norm(flow: Flow, call: OpCall) -> None:
    """Give every row of a weight a length of its own."""
    weight, result = call.args[0], first_result(call)
    length = call.args[1]
    operands = [(list(t.shape), flow.of(t)) for t in (weight, length)]
    flow.set(result, flow.merge(operands, weight.shape))


@rule(*sorted(REDUCTIONS))
def reduction(flow: Flow, call: OpCall) -> None:
    """Reduce dims away; what lay along the others is left."""
    x = call.args[0]
    others = list(tensors_in([call.args[1:], call.kwargs]))
    if others:  # max(a, b) of two tensors
        operands = [aligned(t, flow.of(t), call.result.dim()) for t in [x, *others]]
        flow.set(call.result, flow.merge(operands, call.result.shape))
        return
    dims = reduced_dims(call.name, call.args, call.kwargs, x.dim())
    for result in tensors_in(call.result):
        keepdim = result.dim() == x.dim()
        flow.set(result, flow.reduce(flow.of(x), dims, keepdim) if result.dim() else [])


@rule(
    "aten::_softmax",
    "aten::_log_softmax",
    "aten::_safe_softmax",
    "aten::softmax",
    "aten::log_softmax",
)
def softmax(flow: Flow, call: OpCall) -> None:
    """Normalise along a dim; channels stay where they are."""
    flow.set(call.result, flow.of(call.args[0]))


@rule("aten::sort", "aten::topk", "aten::kthvalue", "aten::cummax", "aten::cummin")
def ordering(flow: Flow, call: OpCall) -> None:
    """Pick along a dim without channels."""
    x = call.args[0]
    place = 2 if call.name == "aten::topk" else 1
    dim = argument(call, place, "dim", -1)
    dim = (dim if isinstance(dim, int) and not isinstance(dim, bool) else -1) % max(
        x.dim(), 1
    )
    for field in flow.of(x):
        if dim in varying(field):
            flow.forbid(field, dim, "is sorted along its channels")
    for result in tensors_in(call.result):
        fields = [
            f.narrow(dim, 0, 1).expand(result.shape)
            for f in flow.of(x)
            if dim not in varying(f) and result.dim() == x.dim()
        ]
        flow.set(result, fields)


_SPATIAL = (
    "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices "
    "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d _adaptive_avg_pool2d "
    "_adaptive_avg_pool3d adaptive_avg_pool2d adaptive_avg_pool3d max_pool2d "
    "max_pool1d max_pool3d adaptive_max_pool1d adaptive_max_pool2d "
    "adaptive_max_pool3d upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d "
    "upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d "
    "_upsample_bilinear2d_aa _upsample_bicubic2d_aa reflection_pad1d reflection_pad2d "
    "reflection_pad3d replication_pad1d replication_pad2d replication_pad3d "
    "fractional_max_pool2d"
)


@rule(*(f"aten::{name}" for name in _SPATIAL.split()))
def spatial(flow: Flow, call: OpCall) -> None:
    """Pool, pad or resize space; the dims before it stay as they are."""
    x = call.args[0]
    depth = next(n for n in (1, 2, 3) if f"{n}d" in call.name)
    for result in tensors_in(call.result):
        keep = x.dim() - depth
        fields = channels_only(flow, x, range(keep))
        lines = [with_last(without_last(field, depth), depth) for field in fields]
        flow.set(result, [line.expand(result.shape) for line in lines])


@rule("aten::grid_sampler_2d", "aten::grid_sampler_3d", "aten::grid_sampler")
def grid_sampler(flow: Flow, call: OpCall) -> None:
    """Sample space at given points; heads in the batch stay with their points."""
    x, grid, result = call.args[0], call.args[1], call.result
    space = x.dim() - 2
    fields = [without_last(f, space) for f in channels_only(flow, x, range(2))]
    points = channels_only(flow, grid, range(1))
    points = [without_last(f, grid.dim() - 1)[:, None] for f in points]
    operands = [(list(x.shape[:2]), fields), ([len(grid), 1], points)]
    merged = flow.merge(operands, x.shape[:2])
    flow.set(result, [with_last(f, space).expand(result.shape) for f in merged])


@rule("aten::im2col")
def im2col(flow: Flow, call: OpCall) -> None:
    """Unfold patches: each channel appears once for every place of the kernel."""
    x, kernel, result = call.args[0], call.args[1], call.result
    times = kernel[0] * kernel[1]
    fields = []
    for field in channels_only(flow, x, range(x.dim() - 2)):
        lines = field[..., 0, 0]
        wide = (
            lines.repeat_interleave(times, dim=-1)
            if x.dim() - 3 in varying(lines)
            else (lines.narrow(-1, 0, 1).expand(*lines.shape[:-1], result.shape[-2]))
        )
        fields.append(wide[..., None].expand(result.shape))
    flow.set(result, fields)


@rule("aten::col2im")
def col2im(flow: Flow, call: OpCall) -> None:
    """Fold patches back: what becomes one channel stays together."""
    x, result = call.args[0], call.result
    kernel = call.args[2]
    times = kernel[0] * kernel[1]
    channels = result.shape[-3]
    fields = []
    for field in channels_only(flow, x, range(x.dim() - 1)):
        lead = list(x.shape[:-2])
        grid = reshaped(field[..., 0], (*lead, channels, times))
        if len(lead) + 1 in varying(grid):
            flow.grid(grid, prefer=len(lead))
            grid = flow.project(grid, (len(lead),))
        fields.append(grid[..., 0][..., None, None].expand(result.shape))
    flow.set(result, fields)


__all__ = ["batch_norm", "group_norm", "layer_norm", "reduction", "reshaped", "spatial"]
