"""Blocks for random networks on tokens: ``(B, T, C)`` in, the same out.

Widths are 12 or 24, tokens 16 (4 x 4) or 17 with a class token where a block allows it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Mlp(nn.Module):
    prunable = ("widen",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 10)
        self.narrow = nn.Linear(10, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(F.gelu(self.widen(self.norm(x))))


class SwiGlu(nn.Module):
    prunable = ("gate",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.gate = nn.Linear(width, 10, bias=False)
        self.value = nn.Linear(width, 10, bias=False)
        self.narrow = nn.Linear(10, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.narrow(F.silu(self.gate(y)) * self.value(y))


class PackedGlu(nn.Module):
    prunable = ("both",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.both = nn.Linear(width, 16)
        self.norm = nn.LayerNorm(8)
        self.narrow = nn.Linear(8, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(self.norm(F.glu(self.both(x))))


class SeparateAttention(nn.Module):
    prunable = ("query", "value")

    def __init__(self, width: int, heads: int = 3) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(len(x), x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self._split(f(x)) for f in (self.query, self.key, self.value))
        weights = (q @ k.transpose(-2, -1) / 2).softmax(-1)
        return x + self.proj((weights @ v).transpose(1, 2).flatten(2))


class PackedAttention(nn.Module):
    """timm's and OpenMMLab's: one layer makes queries, keys and values."""

    prunable = ("qkv",)

    def __init__(self, width: int, heads: int = 3) -> None:
        super().__init__()
        self.num_heads = heads
        self.head_dims = width // heads
        self.embed_dims = width
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.num_heads, self.head_dims)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        y = y.transpose(1, 2).reshape(batch, length, self.embed_dims)
        return x + self.proj(y)


class ChunkedAttention(nn.Module):
    prunable = ("qkv",)

    def __init__(self, width: int, heads: int = 3) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        parts = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (p.view(batch, length, self.heads, -1).transpose(1, 2) for p in parts)
        weights = torch.softmax(q @ k.mT * 0.5, dim=-1)
        return x + self.proj((weights @ v).transpose(1, 2).reshape(batch, length, -1))


class KeyValueAttention(nn.Module):
    """Queries apart, keys and values in one layer, on fewer tokens (PVT, SegFormer)."""

    prunable = ("q", "kv")

    def __init__(self, width: int, heads: int = 3) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.reduce = nn.Conv2d(width, width, 2, stride=2)
        self.norm = nn.LayerNorm(width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        side = int(length**0.5)
        fewer = x[:, : side * side].transpose(1, 2).reshape(batch, width, side, side)
        fewer = self.norm(self.reduce(fewer).flatten(2).transpose(1, 2))
        q = self.q(x).reshape(batch, length, self.heads, -1).permute(0, 2, 1, 3)
        kv = self.kv(fewer).reshape(batch, fewer.shape[1], 2, self.heads, -1)
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1)).softmax(dim=-1)
        y = (weights @ v).transpose(1, 2).reshape(batch, length, -1)
        return x + self.proj(y)


class TorchAttention(nn.Module):
    prunable = ("attention",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(x, x, x, need_weights=False)[0]


class SequenceFirst(nn.Module):
    prunable = ("attention",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(0, 1)
        return self.norm(x + self.attention(y, y, y)[0].transpose(0, 1))


class CrossAttention(nn.Module):
    """Keys and values of other widths."""

    prunable = ("keys", "values", "attention")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.keys = nn.Linear(width, 7)
        self.values = nn.Linear(width, 9)
        self.attention = nn.MultiheadAttention(
            width, 3, kdim=7, vdim=9, batch_first=True
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(x, self.keys(x), self.values(x))[0]


class Encoder(nn.Module):
    prunable = ("layer.linear1", "layer.self_attn")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            width, 3, 10, batch_first=True, norm_first=width > 12
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Decoder(nn.Module):
    """Learned queries look at the tokens, and the tokens at them."""

    prunable = ("layer.linear1", "layer.self_attn", "layer.multihead_attn")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries = nn.Embedding(5, width)
        self.layer = nn.TransformerDecoderLayer(width, 3, 10, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        queries = self.queries.weight.unsqueeze(0).repeat(len(x), 1, 1)
        found = self.layer(queries, x)
        return x + found.mean(1, keepdim=True)


class Windowed(nn.Module):
    """Swin's: windows of 2 x 2 tokens, shifted, with relative position biases."""

    prunable = ("qkv",)

    def __init__(self, width: int, heads: int = 3) -> None:
        super().__init__()
        self.num_heads, self.head_dims = heads, width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.table = nn.Parameter(torch.zeros(9, heads))
        self.proj = nn.Linear(width, width)
        places = torch.stack(
            torch.meshgrid(torch.arange(2), torch.arange(2), indexing="ij")
        )
        flat = places.flatten(1)
        away = (flat[:, :, None] - flat[:, None, :] + 1).permute(1, 2, 0)
        self.register_buffer("index", away[..., 0] * 3 + away[..., 1])

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        side = int(length**0.5)
        tokens = x[:, : side * side].view(batch, side, side, width)
        tokens = torch.roll(tokens, (-1, -1), (1, 2))
        windows = tokens.view(batch, side // 2, 2, side // 2, 2, width)
        windows = windows.permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, width)
        y = self._attend(windows)
        y = y.view(batch, side // 2, side // 2, 2, 2, -1).permute(0, 1, 3, 2, 4, 5)
        y = torch.roll(y.reshape(batch, side, side, -1), (1, 1), (1, 2))
        y = y.view(batch, side * side, -1)
        return torch.cat([x[:, : side * side] + y, x[:, side * side :]], 1)

    def _attend(self, x: Tensor) -> Tensor:
        count, length, _ = x.shape
        qkv = self.qkv(x).reshape(count, length, 3, self.num_heads, self.head_dims)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index.view(-1)].view(4, 4, -1).permute(2, 0, 1)
        weights = (q * 0.5 @ k.transpose(-2, -1) + bias.unsqueeze(0)).softmax(-1)
        y = (weights @ v).transpose(1, 2)
        return self.proj(y.reshape(count, length, -1))


class NormedHeads(nn.Module):
    """Queries and keys are normalised over the width of a head."""

    prunable = ("qkv",)

    def __init__(self, width: int, heads: int = 3) -> None:
        super().__init__()
        self.heads, self.width = heads, width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.norm_q = nn.LayerNorm(self.width)
        self.norm_k = nn.LayerNorm(self.width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, self.width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(self.norm_q(q), self.norm_k(k), v)
        return x + self.proj(y.transpose(1, 2).reshape(batch, length, -1))


class CrossCovariance(nn.Module):
    """XCiT's attention between channels, with a temperature for each head."""

    prunable = ("qkv",)

    def __init__(self, width: int, heads: int = 3) -> None:
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, self.head_width)
        q, k, v = qkv.permute(2, 0, 3, 4, 1).unbind(0)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        weights = ((q @ k.transpose(-2, -1)) * self.temperature).softmax(-1)
        y = (weights @ v).permute(0, 3, 1, 2).reshape(batch, length, -1)
        return x + self.proj(y)


class PatchMerging(nn.Module):
    """Swin's downsampling, and a layer back to the old number of tokens."""

    prunable = ("before", "merge")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before = nn.Linear(width, 5)
        self.norm = nn.LayerNorm(20)
        self.merge = nn.Linear(20, 6, bias=False)
        self.out = nn.Linear(6, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        side = int(length**0.5)
        y = self.before(x[:, : side * side]).view(batch, side, side, -1)
        corners = [y[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        y = torch.cat(corners, -1).view(batch, side * side // 4, -1)
        y = self.out(self.merge(self.norm(y)))
        return x + y.mean(1, keepdim=True)


class Positions(nn.Module):
    """A depthwise convolution tells where tokens are (CPVT, Twins)."""

    prunable = ("inner",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, 9)
        self.depth = nn.Conv2d(9, 9, 3, padding=1, groups=9)
        self.out = nn.Linear(9, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        side = int(length**0.5)
        y = self.inner(x[:, : side * side]).transpose(1, 2)
        y = self.depth(y.reshape(batch, -1, side, side)).flatten(2).transpose(1, 2)
        y = self.out(F.gelu(y))
        return torch.cat([x[:, : side * side] + y, x[:, side * side :]], 1)


class LayerScaled(nn.Module):
    prunable = ("widen",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 8)
        self.inner_scale = nn.Parameter(torch.ones(8))
        self.narrow = nn.Linear(8, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.narrow(F.relu(self.widen(x)) * self.inner_scale)
        return torch.addcmul(x, self.gamma, y)


class TokenMixer(nn.Module):
    """MLP-Mixer's: a layer over the tokens instead of the channels."""

    prunable = ("mix",)

    def __init__(self, width: int, length: int = 16) -> None:
        super().__init__()
        self.length = length
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(length, 7)
        self.back = nn.Linear(7, length)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)[:, : self.length].transpose(1, 2)
        y = self.back(F.gelu(self.mix(y))).transpose(1, 2)
        return torch.cat([x[:, : self.length] + y, x[:, self.length :]], 1)


TOKEN_BLOCKS = [
    Mlp,
    SwiGlu,
    PackedGlu,
    SeparateAttention,
    PackedAttention,
    ChunkedAttention,
    KeyValueAttention,
    TorchAttention,
    SequenceFirst,
    CrossAttention,
    Encoder,
    Decoder,
    Windowed,
    NormedHeads,
    CrossCovariance,
    PatchMerging,
    Positions,
    LayerScaled,
    TokenMixer,
]
