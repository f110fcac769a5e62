# The one table of what multiplies. Counting a run and pricing cuts both read it, so
# that they cannot disagree: a count is a product of sizes, each that of a tensor's dim.
"""What an operation multiplies and accumulates, as products of the sizes of dims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, TypeAlias

from torch import Tensor
from torch.utils.flop_counter import flop_registry

Place: TypeAlias = "tuple[Tensor, int]"
Formula: TypeAlias = "Callable[[Sequence[Any], dict[str, Any], Any], list[MacTerm]]"
_FORMULAS: dict[str, Formula] = {}
# For what is not in the table, torch's own, halved: a multiply-accumulate is two FLOPs.
_OF_TORCH = {
    f"aten::{packet.__name__}": flops for packet, flops in flop_registry.items()
}


@dataclass(frozen=True)
class MacTerm:
    """Multiply-accumulates of one product: a factor times the sizes of some dims.

    Args:
        factor: What no channel changes, such as the places a kernel is applied to.
        dims: Tensors, and which of their dims.
    """

    factor: int
    dims: tuple[Place, ...]

    def macs(self) -> int:
        """Return the product."""
        return self.factor * prod(tensor.shape[dim] for tensor, dim in self.dims)


def mac_terms(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], result: Any
) -> list[MacTerm] | None:
    """Return what a call multiplies and accumulates; None without a formula for it.

    Args:
        name: Operator without overload and in-place underscore: ``aten::addmm``.
        args: Its positional arguments; of tensors, shapes alone are read.
        kwargs: Its keyword arguments.
        result: What it returned.

    Example:
        >>> import torch
        >>> a, b = torch.zeros(2, 3), torch.zeros(3, 5)
        >>> [term.macs() for term in mac_terms('aten::mm', (a, b), {}, a @ b)]
        [30]
    """
    formula = _FORMULAS.get(name)
    if formula is not None:
        return formula(args, kwargs, result)
    flops = _OF_TORCH.get(name)
    if flops is None:
        return None
    return [MacTerm(flops(*args, **kwargs, out_val=result) // 2, ())]


@cache
def counted_names() -> frozenset[str]:
    """Return the operators that have a formula."""
    return frozenset(_FORMULAS) | frozenset(_OF_TORCH)


_NAMES: dict[Any, str] = {}


def op_name(func: Any) -> str:
    """Return the operator's name without overload and in-place underscore.

    Example:
        >>> import torch
        >>> op_name(torch.ops.aten.add_.Tensor)
        'aten::add'
    """
    name = _NAMES.get(func)
    if name is None:
        name = func._schema.name
        if name.endswith("_") and not name.endswith("__"):
            name = name[:-1]
        _NAMES[func] = name
    return name


@cache
def is_composed(func: Any) -> bool:
    """Tell whether an operator is no more than a sequence of others.

    Example:
        >>> import torch
        >>> is_composed(torch.ops.aten.einsum.default)
        True
        >>> is_composed(torch.ops.aten.mm.default)
        False
    """
    return bool(func._can_decompose())


def _formula(*names: str) -> Callable[[Formula], Formula]:
    def register(function: Formula) -> Formula:
        for name in names:
            _FORMULAS[name if "::" in name else f"aten::{name}"] = function
        return function

    return register


def _all(tensor: Tensor) -> tuple[Place, ...]:
    return tuple((tensor, dim) for dim in range(tensor.dim()))


def _product(a: Tensor, b: Tensor) -> list[MacTerm]:
    """Multiply ``(..., N, K)`` with ``(K, M)``, ``(..., K, M)`` or ``(K,)``."""
    dims = _all(a)
    return [MacTerm(1, (*dims, (b, b.dim() - 1)) if b.dim() > 1 else dims)]


@_formula("mm", "bmm", "_int_mm")
def _matrix_product(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    return _product(args[0], args[1])


@_formula("mv", "dot", "vdot")
def _vector_product(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    return _product(args[0], args[1])


@_formula("addmm", "baddbmm", "addbmm", "addmv", "_addmm_activation")
def _added_product(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    return _product(args[1], args[2])


@_formula("addr")
def _outer_product(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    return [MacTerm(1, ((args[1], 0), (args[2], 0)))]


@_formula("linear", "mkldnn_linear", "_weight_int8pack_mm")
def _linear(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    x, weight = args[:2]
    outputs = ((weight, 0),) if weight.dim() > 1 else ()
    return [MacTerm(1, (*_all(x), *outputs))]


@_formula("_weight_int4pack_mm", "_weight_int4pack_mm_for_cpu")
def _packed_linear(args: Sequence[Any], _: dict, result: Tensor) -> list[MacTerm]:
    return [MacTerm(1, (*_all(args[0]), (result, result.dim() - 1)))]


@_formula("matmul")
def _matmul(args: Sequence[Any], _: dict, result: Tensor) -> list[MacTerm]:
    return [MacTerm(1, (*_all(result), (args[0], args[0].dim() - 1)))]


@_formula("_trilinear")
def _trilinear(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    # The sum over the space that the three, given these further dims, span together.
    dims: dict[int, Place] = {}
    for tensor, added in zip(args[:3], args[3:6], strict=True):
        ndim = tensor.dim() + len(added)
        own = [dim for dim in range(ndim) if dim not in {a % ndim for a in added}]
        for place, dim in enumerate(own):
            if tensor.shape[place] != 1 or dim not in dims:
                dims[dim] = tensor, place
    return [MacTerm(1, tuple(dims.values()))]


@_formula("_cdist_forward", "_euclidean_dist")
def _distances(args: Sequence[Any], _: dict, result: Tensor) -> list[MacTerm]:
    return [MacTerm(1, (*_all(result), (args[0], args[0].dim() - 1)))]


@_formula("_pdist_forward")
def _own_distances(args: Sequence[Any], _: dict, result: Tensor) -> list[MacTerm]:
    return [MacTerm(1, (*_all(result), (args[0], 1)))]


@_formula("_embedding_bag", "_embedding_bag_forward_only")
def _weighted_bag(args: Sequence[Any], kwargs: dict, _: Any) -> list[MacTerm]:
    # A sum is free; a weighted one is a product with a sparse matrix.
    weights = args[6] if len(args) > 6 else kwargs.get("per_sample_weights")
    if weights is None:
        return []
    return [MacTerm(weights.numel(), ((args[0], 1),))]


def _convolved(
    x: Tensor, weight: Tensor, space: Tensor, places: tuple[Place, ...]
) -> list[MacTerm]:
    kernel = weight.dim() - 2
    factor = prod(weight.shape[2:]) * prod(space.shape[space.dim() - kernel :])
    batch = ((x, 0),) if x.dim() == weight.dim() else ()
    return [MacTerm(factor, (*batch, *places))]


def _convolution(
    x: Tensor, weight: Tensor, result: Tensor, transposed: bool = False
) -> list[MacTerm]:
    """Each place of the result, or of the input, meets the whole weight once."""
    places = ((weight, 0), (weight, 1))
    return _convolved(x, weight, x if transposed else result, places)


@_formula("convolution", "_convolution", "convolution_overrideable")
def _any_convolution(args: Sequence[Any], _: dict, result: Tensor) -> list[MacTerm]:
    return _convolution(args[0], args[1], result, bool(args[6]))


@_formula(
    *("conv1d", "conv2d", "conv3d", "thnn_conv2d", "slow_conv3d", "conv_depthwise3d"),
    *("_slow_conv2d_forward", "slow_conv3d_forward", "_conv_depthwise2d"),
    *("slow_conv_dilated2d", "slow_conv_dilated3d", "mkldnn_convolution"),
    *("cudnn_convolution", "cudnn_convolution_relu", "cudnn_convolution_add_relu"),
    *("miopen_convolution", "miopen_depthwise_convolution", "_mps_convolution"),
    *("_nnpack_spatial_convolution", "miopen_convolution_relu"),
    *("miopen_convolution_add_relu",),
)
def _plain_convolution(args: Sequence[Any], _: dict, result: Any) -> list[MacTerm]:
    made = result if isinstance(result, Tensor) else result[0]
    return _convolution(args[0], args[1], made)


@_formula(
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("cudnn_convolution_transpose", "miopen_convolution_transpose"),
    *("slow_conv_transpose2d", "slow_conv_transpose3d", "_mps_convolution_transpose"),
)
def _transposed_convolution(args: Sequence[Any], _: dict, result: Any) -> list[MacTerm]:
    return _convolution(args[0], args[1], result, transposed=True)


@_formula("conv_tbc")
def _time_first_convolution(args: Sequence[Any], _: dict, result: Any) -> list[MacTerm]:
    x, weight = args[:2]  # (time, batch, inputs), (kernel, inputs, outputs)
    places = ((x, 1), (weight, 1), (weight, 2))
    return [MacTerm(result.shape[0] * weight.shape[0], places)]


# Without the four points between which each value is interpolated, as those who count
# deformable convolutions do.
@_formula("torchvision::deform_conv2d")
def _deformable(args: Sequence[Any], _: dict, result: Tensor) -> list[MacTerm]:
    return _convolution(args[0], args[1], result)


@_formula("mmcv::deform_conv_forward")
def _deformable_of_mmcv(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    return _convolution(args[0], args[1], args[3])


@_formula("mmcv::modulated_deform_conv_forward")
def _modulated_of_mmcv(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    return _convolution(args[0], args[1], args[6])


@_formula(
    *("_scaled_dot_product_flash_attention", "_scaled_dot_product_cudnn_attention"),
    *("_scaled_dot_product_flash_attention_for_cpu",),
    *("_scaled_dot_product_efficient_attention",),
    *("_scaled_dot_product_fused_attention_overrideable",),
    *("_scaled_dot_product_attention_math", "scaled_dot_product_attention"),
    *("_scaled_dot_product_attention_math_for_mps",),
)
def _attention(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    query, key, value = args[:3]  # (..., tokens, width), perhaps fewer heads of two
    tokens = key, key.dim() - 2
    scores = MacTerm(1, (*_all(query), tokens))
    places = (*_all(query)[:-1], tokens, (value, value.dim() - 1))
    return [scores, MacTerm(1, places)]


def _recurrent(x: Tensor, parameters: Sequence[Any]) -> list[MacTerm]:
    """Multiply every step of every sequence with every matrix among the parameters.

    A layer and direction has one for its inputs, one for its states and perhaps one
    that projects the states; packed sequences ``(steps, inputs)`` have no padding.
    """
    steps = _all(x)[:-1]
    matrices = (p for p in parameters if isinstance(p, Tensor) and p.dim() == 2)
    return [MacTerm(1, (*steps, (matrix, 0), (matrix, 1))) for matrix in matrices]


@_formula("mkldnn_rnn_layer")
def _recurrent_layer(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    return _recurrent(args[0], args[1:3])


@_formula("_cudnn_rnn", "miopen_rnn")
def _recurrent_layers(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    return _recurrent(args[0], args[1])


@_formula("_lstm_mps")
def _lstm_on_mps(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    return _recurrent(args[0], args[2])


@_formula("lstm", "gru", "rnn_tanh", "rnn_relu")
def _recurrent_network(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    # Packed sequences have their lengths second, the others their state; the
    # parameters come third or fourth then.
    packed = isinstance(args[3], (list, tuple))
    return _recurrent(args[0], args[3 if packed else 2])


@_formula("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def _recurrent_cell(args: Sequence[Any], _: dict, __: Any) -> list[MacTerm]:
    return _recurrent(args[0], args[2:4])
