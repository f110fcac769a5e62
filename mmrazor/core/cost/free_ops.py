# An operation is free if it multiplies and accumulates nothing that the counts are
# about: it moves data, works on single elements, reduces, normalises or pools.
# Whatever is not known to be free is reported, so new operations are never missed.
"""Tell which ATen operations cost no multiply-accumulates."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

_FREE_NAMES = (
    # reductions and scans
    "sum mean amax amin max min argmax argmin all any prod std var std_mean "
    "var_mean norm linalg_vector_norm _weight_norm _weight_norm_interface logsumexp "
    "cumsum cumprod cummax cummin count_nonzero median nanmedian mode aminmax "
    "nansum logcumsumexp _masked_softmax _softmax _log_softmax _safe_softmax "
    # norms and pools
    "native_batch_norm _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training _native_batch_norm_legit_functional "
    "cudnn_batch_norm miopen_batch_norm _batch_norm_with_update "
    "_batch_norm_no_update batch_norm_gather_stats_with_counts "
    "_thnn_fused_lstm_cell _thnn_fused_gru_cell native_layer_norm native_group_norm "
    "_fused_rms_norm max_pool2d_with_indices max_pool1d max_pool2d max_pool3d "
    "max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
    "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool1d "
    "adaptive_max_pool2d adaptive_max_pool3d native_dropout max_unpool2d "
    "max_unpool3d fractional_max_pool2d fractional_max_pool3d "
    # resizing and sampling
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d "
    "affine_grid_generator cudnn_grid_sampler reflection_pad3d replication_pad3d "
    "upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d "
    "_upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler_2d grid_sampler_3d "
    # moving data
    "cat stack unsafe_split unsafe_split_with_sizes clone copy copy_ _to_copy "
    "contiguous repeat repeat_interleave roll flip rot90 block_diag diag_embed "
    "trace narrow_copy _pack_padded_sequence _cudnn_rnn_flatten_weight "
    "_unsafe_index _unsafe_index_put unique_consecutive diagonal_scatter isin put "
    "complex polar view_as_real_copy index index_select index_put index_put_ "
    "_index_put_impl_ index_add index_add_ index_fill index_fill_ index_copy "
    "index_copy_ gather scatter scatter_ scatter_add scatter_add_ scatter_reduce "
    "scatter_reduce_ masked_select masked_scatter masked_scatter_ constant_pad_nd "
    "reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d im2col "
    "col2im pixel_shuffle pixel_unshuffle channel_shuffle embedding take tril triu "
    "tril_indices triu_indices slice_scatter select_scatter as_strided_scatter "
    "_reshape_alias _unsafe_view nonzero sort topk t_ transpose_ squeeze_ "
    "unsqueeze_ kthvalue unique _unique2 unique_dim searchsorted bucketize bincount "
    "where one_hot combinations meshgrid set_ resize_ as_strided_ lift_fresh "
    "lift_fresh_copy lift detach detach_ "
    # making tensors
    "arange linspace zeros zeros_like ones ones_like empty empty_like empty_strided "
    "full full_like new_zeros new_ones new_full new_empty new_empty_strided eye "
    "scalar_tensor rand rand_like randn randn_like randint randint_like randperm "
    "uniform_ normal_ bernoulli bernoulli_ normal multinomial fill_ zero_ random_ "
    "hann_window hamming_window bartlett_window blackman_window kaiser_window "
    "logspace range "
    # losses, and numbers rounded for quantization
    "mse_loss smooth_l1_loss huber_loss binary_cross_entropy nll_loss_forward "
    "nll_loss2d_forward soft_margin_loss _ctc_loss dequantize quantize_per_tensor "
    "quantize_per_channel quantize_per_tensor_dynamic int_repr "
    "fake_quantize_per_channel_affine_cachemask "
    "fake_quantize_per_tensor_affine_cachemask "
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams "
    # reading values
    "_local_scalar_dense item equal is_same_size sym_size allclose"
)
_FREE = frozenset(_FREE_NAMES.split())

# Pointwise, but not tagged so on every version of torch.
_POINTWISE_NAMES = (
    "relu relu6 leaky_relu celu glu log_sigmoid_forward rrelu_with_noise elu gelu "
    "silu mish hardtanh hardswish hardsigmoid sigmoid tanh softplus prelu "
    "_prelu_kernel clamp clamp_min clamp_max add sub rsub mul div pow sqrt rsqrt "
    "exp log neg abs sin cos masked_fill floor ceil round threshold lerp addcmul "
    "addcdiv linalg_cross bitwise_not bitwise_and bitwise_or logical_not "
    "logical_and logical_or eq ne lt le gt ge sign erf reciprocal maximum minimum "
    "remainder floor_divide atan2 isnan isinf isfinite nan_to_num copy"
)
_POINTWISE = frozenset(_POINTWISE_NAMES.split())


@cache
def is_free(operation: Any) -> bool:
    """Tell whether an operator overload costs no multiply-accumulates.

    Example:
        >>> is_free(torch.ops.aten.relu.default), is_free(torch.ops.aten.mm.default)
        (True, False)
    """
    if operation.namespace != "aten":
        return operation.namespace in ("prim", "prims") or (
            operation._schema.name == "torchvision::nms"  # compares boxes
        )
    if operation.is_view or torch.Tag.pointwise in operation.tags:
        return True
    name = operation._overloadpacket.__name__
    plain = name.rstrip("_")
    return name in _FREE or plain in _FREE or plain in _POINTWISE
