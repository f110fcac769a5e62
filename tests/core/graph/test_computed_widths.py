from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.graph import channel_graph, slim, verify
from tests.core.graph import width_blocks
from tests.core.graph.checking import check, run, with_random_values
from tests.core.graph.toys import conv, image, net

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


def blocks_of(block: type[nn.Module]) -> tuple[nn.Module, Tensor]:
    model = with_random_values(width_blocks.Net(block))
    return model, torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("block", width_blocks.COMPUTED, ids=lambda b: b.__name__)
def test_widths_that_code_computes(block: type[nn.Module]) -> None:
    model, x = blocks_of(block)
    expected = {"embed.out": width_blocks.COMPUTED[block][""]}
    for index in range(2):
        for name, size in width_blocks.COMPUTED[block].items():
            place, _, number = name.partition(".")
            ending = f".{number}" if number else ""
            if name:
                expected[f"blocks.{index}.{place}.out{ending}"] = size
    graph = channel_graph(model, x)
    assert {group.name: group.size for group in graph.groups} == expected
    assert list(graph.unprunable) == ["head.out"]
    for seed in range(3):
        check(model, x, seed)


@pytest.mark.parametrize("block", width_blocks.SCALING, ids=lambda b: b.__name__)
def test_a_head_whose_width_is_a_factor_keeps_it(block: type[nn.Module]) -> None:
    model, x = blocks_of(block)
    graph = check(model, x, 1)
    sizes = {group.name: group.size for group in graph.groups}
    assert [sizes[f"blocks.{i}.qkv.out"] for i in range(2)] == [width_blocks.HEADS] * 2


def test_a_factor_that_counts_the_only_dim_freezes_it() -> None:
    model = net(
        lambda m, x: m.o(m.b((m.a(x) / m.a.weight.shape[0]).flatten(2).mT)),
        a=conv(3, 6),
        b=nn.Linear(6, 5),
        o=nn.Linear(5, 2),
    )
    graph = channel_graph(model, image())
    assert "factor" in graph.unprunable["a.out"]
    assert [group.name for group in graph.groups] == ["b.out"]


@torch.no_grad()
def test_heads_of_the_input_width_by_hand() -> None:
    """Attention of ``ScaledOnly`` on a slice of its input, from sliced weights."""
    model, x = blocks_of(width_blocks.ScaledOnly)
    model.blocks = model.blocks[:1]
    graph = channel_graph(model, x)
    lines = [0, 1, 2, 3, 8, 9, 10, 11]  # heads 0 and 2
    small = slim(model, graph.cuts({"embed.out": [0, 2]}))
    block = model.blocks[0]
    y = x @ model.embed.weight[lines].T + model.embed.bias[lines]
    normed = (y - y.mean(-1, keepdim=True)) / (
        y.var(-1, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    normed = normed * model.norm.weight[lines] + model.norm.bias[lines]
    z = block.proj.bias[lines]
    for head in (0, 2):
        own = torch.arange(4 * head, 4 * head + 4)
        q, k, v = (
            normed @ block.qkv.weight[part + own][:, lines].T
            + block.qkv.bias[part + own]
            for part in (0, 12, 24)
        )
        weights = (q @ k.mT / 2).softmax(-1)  # the root of the old width, 4
        z = z + weights @ v @ block.proj.weight[lines][:, own].T
    expected = (y + z) @ model.head.weight[:, lines].T + model.head.bias
    torch.testing.assert_close(run(small, x), expected, rtol=1e-5, atol=1e-5)


def test_code_that_no_remedy_helps_is_frozen_alone() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.Linear(12, 7)
            self.out = nn.Linear(7, 12)

        def forward(self, x: Tensor) -> Tensor:
            y = self.inside(x)
            assert y.shape[-1] == 7
            return self.out(y.reshape(*y.shape[:2], 7))

    model, x = blocks_of(Fixed)
    graph = channel_graph(model, x)
    assert graph["embed.out"].size == width_blocks.EMBED
    kept = {"embed.out": [1, 2, 5, 7, 11]}
    assert verify(graph, kept, slim(model, graph.cuts(kept)), x) < 1e-6


@pytest.mark.parametrize("block", width_blocks.CACHING, ids=lambda b: b.__name__)
def test_what_a_module_keeps_of_its_parameters_is_computed_anew(
    block: type[nn.Module],
) -> None:
    model, x = blocks_of(block)
    with torch.no_grad():
        model(x)  # fills the caches
    cached = model.blocks[0].cache["cpu"]
    graph = check(model, x, 1)
    sizes = {group.name: group.size for group in graph.groups}
    assert sizes["blocks.0.qkv.out"] == width_blocks.HEADS
    assert model.blocks[0].cache["cpu"] is cached
    model.train().eval()(x)  # with what gradients need
    small = slim(model, graph.cuts({"blocks.0.qkv.out": [1]}))
    assert small(x).shape == (2, 9, 2)
    assert not small.training
