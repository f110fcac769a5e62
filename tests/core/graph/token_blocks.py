"""Blocks for random networks on tokens: ``(B, T, C)`` in, the same out.

Widths are 12 or 24; there are 16 tokens (4 x 4), 17 with a class token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.core.graph.attention_blocks import (
    ChunkedAttention,
    CrossAttention,
    CrossCovariance,
    KeyValueAttention,
    Linearised,
    NormedHeads,
    PackedAttention,
    Rotary,
    SeparateAttention,
    SequenceFirst,
    SharedKeys,
    TorchAttention,
    Windowed,
)


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
    SeparateAttention,
    PackedAttention,
    ChunkedAttention,
    KeyValueAttention,
    TorchAttention,
    SequenceFirst,
    CrossAttention,
    Windowed,
    NormedHeads,
    CrossCovariance,
    Rotary,
    SharedKeys,
    Linearised,
    PackedGlu,
    Encoder,
    Decoder,
    PatchMerging,
    Positions,
    LayerScaled,
    TokenMixer,
]
