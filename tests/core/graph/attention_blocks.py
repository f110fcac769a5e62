"""Blocks of attention: tokens ``(B, T, C)`` in, the same out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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


class Rotary(nn.Module):
    """Queries and keys are turned by their position; heads share keys in pairs."""

    prunable = ("query", "key", "value")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads = 4, 2
        self.head_dim, self.half_dim = 4, 2
        self.query = nn.Linear(width, 16)
        self.key = nn.Linear(width, 8)
        self.value = nn.Linear(width, 8)
        self.proj = nn.Linear(16, width)

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(len(x), x.shape[1], heads, self.head_dim).transpose(1, 2)

    def _turned(self, x: Tensor) -> Tensor:
        angles = torch.arange(x.shape[2], device=x.device, dtype=x.dtype)[:, None]
        angles = angles * x.new_tensor([1.0, 0.1, 1.0, 0.1])
        turned = torch.cat([-x[..., self.half_dim :], x[..., : self.half_dim]], -1)
        return x * angles.cos() + turned * angles.sin()

    def _repeated(self, x: Tensor) -> Tensor:
        batch, heads, length, width = x.shape
        wide = x[:, :, None].expand(batch, heads, 2, length, width)
        return wide.reshape(batch, -1, length, width)

    def forward(self, x: Tensor) -> Tensor:
        q = self._turned(self._split(self.query(x), self.num_heads))
        k = self._turned(self._split(self.key(x), self.num_kv_heads))
        v = self._split(self.value(x), self.num_kv_heads)
        y = F.scaled_dot_product_attention(q, self._repeated(k), self._repeated(v))
        return x + self.proj(y.transpose(1, 2).flatten(2))


class SharedKeys(nn.Module):
    """All heads look at the same keys (multi-query attention)."""

    prunable = ("query", "key", "value")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads, self.width = 3, 5
        self.query = nn.Linear(width, 15)
        self.key = nn.Linear(width, 5)
        self.value = nn.Linear(width, 5)
        self.proj = nn.Linear(15, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q = self.query(x).view(batch, length, self.heads, -1).transpose(1, 2)
        k, v = self.key(x)[:, None], self.value(x)[:, None]
        y = (q @ k.mT / 2).softmax(-1) @ v
        return x + self.proj(y.transpose(1, 2).flatten(2))


class Linearised(nn.Module):
    """Keys and values are multiplied first; softmax over widths and over tokens."""

    prunable = ("qkv",)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads, self.width = 3, width // 3
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, self.width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        context = k.softmax(dim=2).transpose(-2, -1) @ v
        y = q.softmax(dim=-1) @ context
        return x + self.proj(y.transpose(1, 2).flatten(2))
