"""Blocks of (B, N, 12) tokens whose code computes the numbers that it passes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS, WIDTH = 3, 4
EMBED = HEADS * WIDTH
Block = type[nn.Module]


class ScaledOnly(nn.Module):
    """``head_dim`` scales queries; the width of a head is the input's over heads."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim = HEADS, WIDTH
        self.scale = self.head_dim**-0.5
        self.qkv = nn.Linear(EMBED, 3 * EMBED)
        self.proj = nn.Linear(EMBED, EMBED)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape = (batch, length, 3, self.num_heads, width // self.num_heads)
        q, k, v = self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4)
        y = ((q * self.scale) @ k.mT).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(batch, length, width))


class ScaledAndUsed(ScaledOnly):
    """``head_dim`` shapes the heads, but what they give has the width of the input."""

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape = (batch, length, 3, self.num_heads, self.head_dim)
        q, k, v = self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return self.proj(y.transpose(1, 2).reshape(batch, length, width))


class NamedOtherwise(nn.Module):
    """Queries apart; the attribute of a head's width is a divisor alone."""

    def __init__(self) -> None:
        super().__init__()
        self.h, self.d, self.inner = HEADS, WIDTH, EMBED
        self.query = nn.Linear(EMBED, EMBED)
        self.pair = nn.Linear(EMBED, 2 * EMBED, bias=False)
        self.out = nn.Linear(EMBED, EMBED)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        share = width // self.h
        q = self.query(x).view(batch, length, self.h, share).transpose(1, 2)
        k, v = self.pair(x).view(batch, length, 2, self.h, share).permute(2, 0, 3, 1, 4)
        y = (q @ k.mT / math.sqrt(self.d)).softmax(-1) @ v
        return self.out(y.transpose(1, 2).flatten(2))


class Reduced(nn.Module):
    """Keys and values of a smaller map, which is viewed with the input's width."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.head_width = HEADS, WIDTH
        self.q = nn.Linear(EMBED, EMBED)
        self.kv = nn.Linear(EMBED, 2 * EMBED)
        self.reduce = nn.Conv2d(EMBED, EMBED, 2, stride=2)
        self.norm = nn.LayerNorm(EMBED)
        self.proj = nn.Linear(EMBED, EMBED)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        side = math.isqrt(length)
        q = self.q(x).reshape(batch, length, self.heads, -1).transpose(1, 2)
        plane = x.transpose(1, 2).reshape(batch, width, side, side)
        fewer = self.norm(self.reduce(plane).reshape(batch, width, -1).mT)
        shape = (batch, -1, 2, self.heads, self.head_width)
        k, v = self.kv(fewer).reshape(shape).permute(2, 0, 3, 1, 4)
        y = (q @ k.mT * 0.5).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(batch, length, width))


class HalfOfAttribute(nn.Module):
    """A gate: the split is half of an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = 16
        self.inside = nn.Linear(EMBED, 16)
        self.out = nn.Linear(8, EMBED)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.inside(x).split(self.hidden // 2, dim=-1)
        return self.out(a * b.sigmoid())


class QuarterAndRest(nn.Module):
    """Unequal parts, both written as expressions of one attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.c = 16
        self.inside = nn.Linear(EMBED, 16)
        self.first = nn.Linear(8, EMBED)
        self.second = nn.Linear(4, EMBED)

    def forward(self, x: Tensor) -> Tensor:
        sizes = (self.c // 2, self.c // 4, self.c // 4)
        a, b, c = torch.split(self.inside(x), sizes, dim=-1)
        return self.first(a) + self.second(b * c)


class WidthOverHeads(nn.Module):
    """The width of a head is one attribute over another."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.heads = 24, HEADS
        self.qkv = nn.Linear(EMBED, 3 * 24)
        self.proj = nn.Linear(24, EMBED)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        share = self.inner // self.heads
        shape = (batch, length, self.heads, share)
        q, k, v = (
            part.reshape(shape).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1)
        )
        y = (q @ k.mT * 0.3).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(batch, length, self.inner))


class TwiceAnAttribute(nn.Module):
    """What is split off is a multiple of an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = 4
        self.inside = nn.Linear(EMBED, 13)
        self.wide = nn.Linear(8, EMBED)
        self.rest = nn.Linear(5, EMBED)

    def forward(self, x: Tensor) -> Tensor:
        y = self.inside(x)
        return self.wide(y[..., : 2 * self.unit]) + self.rest(y[..., 2 * self.unit :])


class PlaceByPlace(nn.Module):
    """A list of numbers, two of which are equal and count different channels."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = [5, 3, 5]
        self.inside = nn.Linear(EMBED, 13)
        self.outs = nn.ModuleList(nn.Linear(n, EMBED) for n in self.sizes)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.inside(x).split(self.sizes, dim=-1)
        return sum(out(part.tanh()) for out, part in zip(self.outs, parts, strict=True))


class AreaLikeHeads(nn.Module):
    """There are as many tokens in a window (9) as attention has heads."""

    def __init__(self) -> None:
        super().__init__()
        self.area, self.heads = 9, 9
        self.qkv = nn.Linear(EMBED, 3 * 18)
        self.table = nn.Parameter(torch.zeros(25, 9))
        index = torch.arange(81) % 25
        self.register_buffer("index", index, persistent=False)
        self.proj = nn.Linear(18, EMBED)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        shape = (batch, length, 3, self.heads, 2)
        q, k, v = self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index].view(self.area, self.area, -1).permute(2, 0, 1)
        y = (q @ k.mT + bias).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).flatten(2))


class OneNumberForTwo(nn.Module):
    """Heads of queries are mixed before they meet those of values."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = HEADS
        self.qk = nn.Linear(EMBED, 2 * EMBED)
        self.v = nn.Linear(EMBED, 15)
        self.mix = nn.Conv2d(HEADS, HEADS, 1)
        self.proj = nn.Linear(15, EMBED)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        shape = (batch, length, 2, self.heads, -1)
        q, k = self.qk(x).reshape(shape).permute(2, 0, 3, 1, 4)
        v = self.v(x).reshape(batch, length, self.heads, -1).transpose(1, 2)
        y = self.mix((q @ k.mT * 0.5).softmax(-1)) @ v
        return self.proj(y.transpose(1, 2).flatten(2))


class FromTheContext(nn.Module):
    """Parts of a projection are as wide as the input."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(EMBED, 2 * EMBED)
        self.out = nn.Linear(EMBED, EMBED)

    def forward(self, x: Tensor) -> Tensor:
        width = x.shape[-1]
        a, b = self.gates(x).split([width, width], dim=-1)
        return self.out(a * b.sigmoid())


class TorchScales(nn.Module):
    """Torch's attention scales by the width of a head as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.width = WIDTH
        self.qkv = nn.Linear(EMBED, 3 * EMBED)
        self.proj = nn.Linear(EMBED, EMBED)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        shape = (batch, length, 3, -1, self.width)
        q, k, v = self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4)
        y = self.attend(2 * q, 2 * k, v)
        return self.proj(y.transpose(1, 2).reshape(batch, length, -1))


class ScoresScaled(TorchScales):
    """The scores are divided by the root of the width that the keys have."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.mT / math.sqrt(k.size(-1))).softmax(-1) @ v


class QueriesScaled(TorchScales):
    """The queries are multiplied by a power of their width."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1) @ v


class Biases(nn.Module):
    """Keeps the shape of its biases; only a method of it is called."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.shape = (9, 9, heads)
        self.table = nn.Parameter(torch.zeros(25, heads))
        index = torch.arange(81) % 25
        self.register_buffer("index", index, persistent=False)

    def bias(self) -> Tensor:
        return self.table[self.index].view(self.shape).permute(2, 0, 1)


class ShapeOfAChild(TorchScales):
    """Biases of places come from a child that holds their shape."""

    def __init__(self) -> None:
        super().__init__()
        self.biases = Biases(HEADS)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self.biases.bias())


class CachedBiases(nn.Module):
    """Biases of places are looked up once in eval mode and kept by device."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.width = HEADS, WIDTH
        self.qkv = nn.Linear(EMBED, 3 * EMBED)
        self.biases = nn.Parameter(torch.zeros(HEADS, 9))
        places = torch.arange(9)
        away = (places[:, None] - places).abs()
        self.register_buffer("away", away, persistent=False)
        self.proj = nn.Linear(EMBED, EMBED)
        self.cache: dict[str, Tensor] = {}

    def train(self, mode: bool = True) -> CachedBiases:
        self.cache = {}
        return super().train(mode)

    def bias(self) -> Tensor:
        key = str(self.biases.device)
        if key not in self.cache:
            self.cache[key] = self.biases[:, self.away]
        return self.cache[key]

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        shape = (batch, length, 3, self.heads, self.width)
        q, k, v = self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4)
        y = (q @ k.mT * 0.5 + self.bias()).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).flatten(2))


class CachedOnlyThen(CachedBiases):
    """The cache is emptied when training begins, not when it ends."""

    def train(self, mode: bool = True) -> CachedOnlyThen:
        if mode and self.cache:
            self.cache = {}
        return nn.Module.train(self, mode)  # type: ignore[return-value]


class TurnedApart(nn.Module):
    """Rotary positions: of neighbours along the width of a head one is turned."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.width = HEADS, WIDTH
        self.qkv = nn.Linear(EMBED, 3 * EMBED)
        self.proj = nn.Linear(EMBED, EMBED)

    def turned(self, x: Tensor) -> Tensor:
        angles = torch.arange(x.shape[2], dtype=x.dtype)[:, None]
        real, imaginary = x[..., ::2], x[..., 1::2]
        turned = real * angles.cos() - imaginary * angles.sin()
        return torch.stack([turned, imaginary], -1).flatten(-2)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        shape = (batch, length, 3, self.heads, self.width)
        q, k, v = self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4)
        y = (self.turned(q) @ self.turned(k).mT * 0.5).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).flatten(2))


#: Blocks, and their groups by the name of what makes them; the embedding's is ``""``.
COMPUTED: dict[Block, dict[str, int]] = {
    ScaledOnly: {"": HEADS},
    ScaledAndUsed: {"": HEADS},
    NamedOtherwise: {"": HEADS},
    Reduced: {"": HEADS},
    HalfOfAttribute: {"": EMBED, "inside": 8},
    QuarterAndRest: {"": EMBED, "inside": 4},
    WidthOverHeads: {"": EMBED, "qkv": HEADS},
    TwiceAnAttribute: {"": EMBED, "inside": 4, "inside.2": 5},
    PlaceByPlace: {"": EMBED, "inside": 5, "inside.2": 3, "inside.3": 5},
    AreaLikeHeads: {"": EMBED, "qkv": 9},
    OneNumberForTwo: {"": EMBED, "qk": HEADS},
    FromTheContext: {"": EMBED},
    ShapeOfAChild: {"": EMBED, "qkv": HEADS},
    TurnedApart: {"": EMBED, "qkv": HEADS},
}
CACHING: tuple[Block, ...] = (CachedBiases, CachedOnlyThen)
SCALING: tuple[Block, ...] = (TorchScales, ScoresScaled, QueriesScaled)


class Net(nn.Module):
    """Two blocks of a class on one embedding."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.embed = nn.Linear(5, EMBED)
        self.blocks = nn.ModuleList(block() for _ in range(2))
        self.norm = nn.LayerNorm(EMBED)
        self.head = nn.Linear(EMBED, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = x + block(self.norm(x))
        return self.head(x)
