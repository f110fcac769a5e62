"""Operations on single elements: channels that meet are tied."""

from __future__ import annotations

from torch import Tensor

from ..fields import varying
from ..flow import Flow, aligned
from ..trace import OpCall, tensors_in
from .slicing import split_equally
from .table import argument, first_result, rule

_ONE_INPUT = (
    "relu relu6 elu gelu silu mish hardtanh hardswish hardsigmoid sigmoid tanh "
    "softplus leaky_relu celu selu log_sigmoid_forward threshold hardshrink "
    "softshrink clamp clamp_min clamp_max neg abs exp exp2 expm1 log log1p log2 log10 "
    "sqrt rsqrt sin cos tan asin acos atan sinh cosh erf erfc erfinv reciprocal sign "
    "sgn floor ceil round trunc frac square logit sinc isnan isinf isfinite "
    "logical_not bitwise_not nan_to_num clone contiguous _to_copy to alias detach "
    "lift_fresh lift lift_fresh_copy native_dropout dropout bernoulli positive "
    "logical_not zeros_like ones_like full_like empty_like rand_like randn_like fill "
    "zero uniform normal erf digamma lgamma rrelu_with_noise nan_to_num conj_physical"
)
_SEVERAL_INPUTS = (
    "add sub rsub mul div pow maximum minimum fmax fmin where masked_fill addcmul "
    "addcdiv lerp copy remainder fmod floor_divide atan2 hypot xlogy eq ne lt le gt "
    "ge logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor "
    "_prelu_kernel prelu true_divide __and__ __or__ __xor__ heaviside "
    "bitwise_left_shift bitwise_right_shift nextafter copysign float_power "
    "binary_cross_entropy_with_logits smooth_l1_loss huber_loss mse_loss "
    "binary_cross_entropy"
)


@rule(*(f"aten::{name}" for name in dict.fromkeys(_ONE_INPUT.split())))
def keep_fields(flow: Flow, call: OpCall) -> None:
    """Hand on the fields of the first tensor (a copy, a function of each element)."""
    result = first_result(call)
    source = call.args[0]
    if not isinstance(source, Tensor):  # x ** 2 written as 2 ** x and the like
        pointwise(flow, call)
    elif result is not source and source.shape == result.shape:
        flow.set(result, flow.of(source))


@rule(*(f"aten::{name}" for name in dict.fromkeys(_SEVERAL_INPUTS.split())))
def pointwise(flow: Flow, call: OpCall) -> None:
    """Tie the channels of tensors that are combined element by element."""
    result = first_result(call)
    ndim = result.dim()
    tensors = [t for t in tensors_in([call.args, call.kwargs]) if t.dim() > 0]
    fields = [flow.of(tensor) for tensor in tensors]
    if not any(fields):
        return
    if len(tensors) == 1 and tensors[0].shape == result.shape:
        flow.set(result, fields[0])
        return
    if any(tensor.dim() > ndim for tensor in tensors) or ndim == 0:
        for each in fields:
            flow.freeze(each, "is reduced in a way that is not followed")
        return
    operands = [
        aligned(tensor, each, ndim)
        for tensor, each in zip(tensors, fields, strict=True)
    ]
    flow.set(result, flow.merge(operands, result.shape))


@rule("aten::glu")
def gated(flow: Flow, call: OpCall) -> None:
    """Multiply one half of a dim by a function of the other half."""
    source, result = call.args[0], call.result
    dim = argument(call, 1, "dim", -1) % source.dim()
    split_equally(flow, source, dim, 2)
    half = result.shape[dim]
    halves = [
        (result.shape, [field.narrow(dim, start, half) for field in flow.of(source)])
        for start in (0, half)
    ]
    flow.set(result, flow.merge(halves, result.shape))


@rule(
    *(
        f"aten::{name}"
        for name in [
            "zeros",
            "ones",
            "full",
            "empty",
            "new_zeros",
            "new_ones",
            "new_full",
            "new_empty",
            "new_empty_strided",
            "empty_strided",
        ]
    )
)
def make_constant(flow: Flow, call: OpCall) -> None:
    """Give a new tensor channels of its own: it may be filled with others later."""
    result = call.result
    if not result.is_floating_point():
        return
    flow.set_new(result)
    for field in flow.of(result):
        for dim in varying(field):
            flow.size_argument(result.shape[dim], field, dim)
