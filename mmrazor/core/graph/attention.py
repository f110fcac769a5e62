# torch's nn.MultiheadAttention insists that heads times their width is the embedding
# width. Without some heads it is not, so a pruned one is replaced by this module, which
# keeps the parameters' names and computes the same.
"""Multi-head attention with any number of heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def is_replaceable(source: nn.MultiheadAttention) -> bool:
    """Tell whether a :class:`PrunedMultiheadAttention` can do what a layer does."""
    return source.bias_k is None and not source.add_zero_attn


class PrunedMultiheadAttention(nn.Module):
    """Do what ``nn.MultiheadAttention`` does, for fewer heads than the width asks for.

    Args:
        source: The layer to replace, with parameters that may be sliced already; they
            are taken over, not copied.
        head_dim: Width of a head.

    Raises:
        ValueError: If the layer has options that are not there (``bias_k``,
            ``add_zero_attn``).

    Example:
        >>> layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
        >>> x = torch.rand(1, 3, 8)
        >>> same = PrunedMultiheadAttention(layer, head_dim=4).eval()
        >>> torch.allclose(layer(x, x, x)[0], same(x, x, x)[0], atol=1e-6)
        True
    """

    _qkv_same_embed_dim = False  # keeps TransformerEncoderLayer off its fused path
    in_proj_weight: Tensor | None  # either this one or the three below
    q_proj_weight: Tensor
    k_proj_weight: Tensor
    v_proj_weight: Tensor
    in_proj_bias: Tensor | None

    def __init__(self, source: nn.MultiheadAttention, head_dim: int) -> None:
        super().__init__()
        if not is_replaceable(source):
            raise ValueError(
                "nn.MultiheadAttention with add_bias_kv or add_zero_attn cannot be "
                "pruned. Exclude it: ignore=['<module name>']."
            )
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight"):
            self.register_parameter(name, getattr(source, name))
        self.register_parameter("v_proj_weight", source.v_proj_weight)
        self.register_parameter("in_proj_bias", source.in_proj_bias)
        self.out_proj = source.out_proj
        self.batch_first = source.batch_first
        self.dropout = source.dropout
        self.head_dim = head_dim
        self.embed_dim = source.out_proj.weight.shape[0]
        self.num_heads = source.out_proj.weight.shape[1] // head_dim
        self.training = source.training

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend; arguments and results are those of ``nn.MultiheadAttention``."""
        unbatched = query.dim() == 2
        if unbatched:
            query, key, value = query[None], key[None], value[None]
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = (self._heads(x) for x in self._projected(query, key, value))
        bias = _attention_bias(attn_mask, key_padding_mask, q, query.shape[0])
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)
            weights = (scores if bias is None else scores + bias).softmax(-1)
            dropped = functional.dropout(weights, dropout) if dropout else weights
            heads = dropped @ v
        else:
            heads = functional.scaled_dot_product_attention(q, k, v, bias, dropout)
        out = self.out_proj(heads.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if unbatched:
            return out[0], None if weights is None else weights[0]
        return (out if self.batch_first else out.transpose(0, 1)), weights

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        weights = (
            (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
            if self.in_proj_weight is None
            else self.in_proj_weight.chunk(3)
        )
        biases: Sequence[Tensor | None] = (
            (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        )
        parts = zip((query, key, value), weights, biases, strict=True)
        return [functional.linear(x, weight, bias) for x, weight, bias in parts]

    def _heads(self, x_BTC: Tensor) -> Tensor:
        batch, length, _ = x_BTC.shape
        return x_BTC.view(batch, length, self.num_heads, self.head_dim).transpose(1, 2)


def _attention_bias(
    attn_mask: Tensor | None, padding: Tensor | None, q_BHTD: Tensor, batch: int
) -> Tensor | None:
    """Merge masks into one that is added to the scores, ``(B or 1, H or 1, T, S)``."""
    bias = None
    if attn_mask is not None:
        bias = _additive(attn_mask, q_BHTD)
        if bias.dim() == 2:
            bias = bias[None, None]
        else:  # (B * heads, T, S), made for the heads of the whole layer
            bias = bias.view(batch, -1, *bias.shape[1:])
            if bias.shape[1] != q_BHTD.shape[1]:
                if not bool((bias == bias[:, :1]).all()):
                    raise ValueError(
                        f"An attention mask for {bias.shape[1]} heads meets a layer "
                        f"that has {q_BHTD.shape[1]} left. Exclude the layer from "
                        "pruning: ignore=['<module name>']."
                    )
                bias = bias[:, :1]
    if padding is not None:
        extra = _additive(padding, q_BHTD).view(batch, 1, 1, -1)
        bias = extra if bias is None else bias + extra
    return bias


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -torch.inf)
