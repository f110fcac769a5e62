from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.graph import channel_graph, slim, verify

_HEADS, _WIDTH = 3, 4
_EMBED = _HEADS * _WIDTH


class Attention(nn.Module):
    """Computes the width of a head from the width of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads = _HEADS
        self.qkv = nn.Linear(_EMBED, 3 * _EMBED)
        self.proj = nn.Linear(_EMBED, _EMBED)

    def head_width(self, x: Tensor, qkv: Tensor) -> int:
        return x.shape[-1] // self.num_heads

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x)
        width = self.head_width(x, qkv)
        parts = qkv.reshape(batch, tokens, 3, self.num_heads, width)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, -1))


class OfItsOwn(Attention):
    """Computes the width of a head from the projection, which shrinks with it."""

    def head_width(self, x: Tensor, qkv: Tensor) -> int:
        return qkv.shape[-1] // (3 * self.num_heads)


class Separate(Attention):
    """Queries by one layer, keys and values by another."""

    def __init__(self) -> None:
        super().__init__()
        del self.qkv
        self.q = nn.Linear(_EMBED, _EMBED)
        self.kv = nn.Linear(_EMBED, 2 * _EMBED)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        width = width // self.num_heads
        q = self.q(x).reshape(batch, tokens, self.num_heads, width).transpose(1, 2)
        kv = self.kv(x).reshape(batch, tokens, 2, self.num_heads, width)
        k, v = kv.permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, -1))


class Net(nn.Module):
    """Two blocks on one embedding."""

    def __init__(self, attention: type[Attention]) -> None:
        super().__init__()
        self.embed = nn.Linear(5, _EMBED)
        self.blocks = nn.ModuleList(attention() for _ in range(2))
        self.norm = nn.LayerNorm(_EMBED)
        self.head = nn.Linear(_EMBED, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = x + block(self.norm(x))
        return self.head(x)


@pytest.mark.parametrize("attention", [Attention, Separate])
def test_heads_go_with_their_slice_of_the_embedding(
    attention: type[Attention],
) -> None:
    torch.manual_seed(0)
    model, x = Net(attention), torch.randn(2, 6, 5)
    graph = channel_graph(model, x)
    assert [(group.name, group.size) for group in graph.groups] == [("embed.out", 3)]
    kept = {"embed.out": [0, 2]}
    small = slim(model, graph.cuts(kept))
    assert small.embed.out_features == 2 * _WIDTH
    assert [block.num_heads for block in small.blocks] == [2, 2]
    lines = torch.tensor([0, 1, 2, 3, 8, 9, 10, 11])
    assert torch.equal(small.embed.weight, model.embed.weight[lines])
    assert torch.equal(
        small.blocks[1].proj.weight, model.blocks[1].proj.weight[lines][:, lines]
    )
    assert verify(graph, kept, small, x) < 1e-6


def test_a_width_that_shrinks_with_the_heads_ties_nothing() -> None:
    torch.manual_seed(0)
    model, x = Net(OfItsOwn), torch.randn(2, 6, 5)
    graph = channel_graph(model, x)
    assert {group.name: group.size for group in graph.groups} == {
        "embed.out": _EMBED,
        "blocks.0.qkv.out": _HEADS,
        "blocks.1.qkv.out": _HEADS,
    }
    kept = {"embed.out": [1, 2, 5, 7, 11], "blocks.0.qkv.out": [1]}
    assert verify(graph, kept, slim(model, graph.cuts(kept)), x) < 1e-6


def test_one_kind_of_attention_does_not_tie_the_other() -> None:
    model, x = Net(Attention), torch.randn(2, 6, 5)
    model.blocks[1] = OfItsOwn()
    sizes = {group.name: group.size for group in channel_graph(model, x).groups}
    assert sizes == {"embed.out": _HEADS, "blocks.1.qkv.out": _HEADS}
