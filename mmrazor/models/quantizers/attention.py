"""Attention as the matrix products that it is made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.graph.attention import PrunedMultiheadAttention, is_replaceable


def plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Do what ``scaled_dot_product_attention`` does, in operations of their own.

    Args:
        query: Shape ``(..., H, T, D)``.
        key: Shape ``(..., H, S, D)``.
        value: Shape ``(..., H, S, E)``.
        attn_mask: Broadcasts to ``(..., T, S)``; where a boolean one is False, nothing
            is looked at; another one is added.
        dropout_p: Share of the attention weights that is dropped.
        is_causal: Whether a token looks at none that comes after it.
        scale: Factor of the scores; default is one over the root of ``D``.
        enable_gqa: Whether fewer heads of keys and values serve all queries.

    Returns:
        Shape ``(..., H, T, E)``.

    Example:
        >>> q, k, v = torch.rand(3, 1, 2, 5, 4)
        >>> expected = functional.scaled_dot_product_attention(q, k, v)
        >>> torch.allclose(plain_attention(q, k, v), expected, atol=1e-6)
        True
    """
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = torch.matmul(query * factor, key.transpose(-2, -1))
    if is_causal:
        attn_mask = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, float("-inf"))
        else:
            scores = scores + attn_mask
    weights = torch.softmax(scores, dim=-1)
    if dropout_p:
        weights = functional.dropout(weights, dropout_p)
    return torch.matmul(weights, value)


def open_attention_(model: nn.Module) -> None:
    """Replace attention layers that torch computes in one piece by equal ones.

    Example:
        >>> model = nn.Sequential(nn.MultiheadAttention(8, 2))
        >>> open_attention_(model)
        >>> type(model[0]).__name__
        'PrunedMultiheadAttention'
    """
    for name, module in list(model.named_modules()):
        if (
            name
            and isinstance(module, nn.MultiheadAttention)
            and is_replaceable(module)
        ):
            width = module.embed_dim // module.num_heads
            model.set_submodule(name, PrunedMultiheadAttention(module, width))
