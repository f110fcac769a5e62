"""Widths that blocks state for other methods than their forward pass."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.graph import channel_graph, slim

from .toys import conv, with_random_values


def half(model: nn.Module, inputs: Tensor) -> nn.Module:
    graph = channel_graph(model, inputs)
    kept = {g.name: range(g.size // 2) for g in graph.groups}
    assert kept
    return slim(model, graph.cuts(kept))


class Merged(nn.Module):
    """Two branches, merged by the widths that the block states.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        groups: Of the convolutions.
    """

    def __init__(self, inputs: int, outputs: int, groups: int = 1) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.groups = inputs, outputs, groups
        self.large = nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups)
        self.small = nn.Conv2d(inputs, outputs, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "merged"):
            return self.merged(x).relu()
        return (self.large(x) + self.small(x)).relu()

    def switch_to_deploy(self) -> None:
        merged = nn.Conv2d(
            self.in_channels, self.out_channels, 3, padding=1, groups=self.groups
        )
        merged.weight.data = self.large.weight.data.clone()
        merged.weight.data[..., 1:2, 1:2] += self.small.weight.data
        assert merged.weight.shape[0] == self.out_channels
        assert merged.weight.shape[1] == self.in_channels // self.groups
        merged.bias.data = self.large.bias.data + self.small.bias.data
        self.merged = merged
        del self.large, self.small


BLOCKS = {
    "equal widths that shrink apart": lambda: [Merged(8, 8), Merged(8, 8)],
    "depthwise": lambda: [Merged(8, 8, groups=8), Merged(8, 12)],
    "grouped": lambda: [Merged(8, 16, groups=2), Merged(16, 8)],
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_merge_their_branches_after_pruning(kind: str) -> None:
    model = nn.Sequential(
        conv(3, 8), *BLOCKS[kind](), conv(BLOCKS[kind]()[1].out_channels, 2)
    )
    with_random_values(model)
    x = torch.rand(1, 3, 6, 6)
    small = half(model, x)
    before = small(x)
    for block in (small[1], small[2]):
        assert block.out_channels == block.large.out_channels
        assert block.groups == block.large.groups
        block.switch_to_deploy()
    assert small[2].merged.out_channels < model[2].out_channels
    torch.testing.assert_close(small(x), before)


class Token(nn.Module):
    """A norm and a scale, fused into one linear layer by `dim` and `hidden_dims`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim, self.hidden_dims, self.kernel_size = dim, [dim, 2 * dim], dim
        self.scale = nn.Parameter(torch.rand(dim))
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x * self.scale).relu())

    def fuse(self) -> None:
        fused = nn.Linear(self.dim, self.hidden_dims[1])
        fused.load_state_dict(
            {"weight": self.up.weight * self.scale, "bias": self.up.bias}
        )
        self.up = fused
        self.scale.data = torch.ones(self.dim)


def test_fuse_reads_widths_of_any_axis_and_of_lists() -> None:
    model = nn.Sequential(nn.Linear(3, 6), Token(6), nn.Linear(6, 2))
    x = torch.rand(4, 3)
    small = half(model, x)
    token = small[1]
    # one of 6 axes ends the residual-free chain, so inputs and outputs part
    assert token.hidden_dims[1] == token.up.out_features == 6
    assert token.kernel_size == 6  # is no width, whatever its value
    assert token.dim == token.up.in_features == 3
    before = small(x)
    token.fuse()
    torch.testing.assert_close(small(x), before)


class Wrong(nn.Module):
    """States a width that its forward code compares: it stays what the trace found."""

    def __init__(self) -> None:
        super().__init__()
        self.in_channels = self.out_channels = 8
        self.inner, self.outer = conv(8, 8), conv(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.outer(self.inner(x).relu())
        return y if self.in_channels == self.out_channels else y * 2


def test_what_the_forward_code_reads_is_left_to_the_trace() -> None:
    model = nn.Sequential(conv(3, 8), Wrong(), conv(8, 2))
    x = torch.rand(1, 3, 4, 4)
    graph = channel_graph(model, x)
    cuts = graph.cuts({graph.groups[0].name: [0, 1]})
    assert "1" not in cuts.attributes


def test_a_copy_states_what_it_copies_does() -> None:
    class Averaged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.block, self.head = conv(3, 8), Merged(8, 12), conv(12, 2)
            self.average = copy.deepcopy(self.block)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.block(self.stem(x)))

    x = torch.rand(1, 3, 4, 4)
    small: Any = half(Averaged(), x)
    for block in (small.block, small.average):
        assert (block.in_channels, block.out_channels) == (4, 6)
        block.switch_to_deploy()
    assert small.average(small.stem(x)).shape == (1, 6, 4, 4)


@pytest.mark.parametrize("kind", ["RepVGG", "MobileOne"])
def test_blocks_of_mmpretrain(kind: str) -> None:
    models = pytest.importorskip("mmpretrain.models")
    repvgg = pytest.importorskip("mmpretrain.models.backbones.repvgg")
    mobileone = pytest.importorskip("mmpretrain.models.backbones.mobileone")
    assert models
    if kind == "RepVGG":
        blocks = [
            repvgg.RepVGGBlock(8, 8),
            repvgg.RepVGGBlock(8, 12, stride=2),
        ]
    else:
        blocks = [
            mobileone.MobileOneBlock(8, 8, 3, 2, groups=8),
            mobileone.MobileOneBlock(8, 12, 1, 2, padding=0),
        ]
    model = nn.Sequential(conv(3, 8), *blocks, conv(12, 2)).eval()
    with_random_values(model)
    x = torch.rand(1, 3, 8, 8)
    small = half(model, x)
    before = small(x)
    for block in (small[1], small[2]):
        block.switch_to_deploy()
    torch.testing.assert_close(small(x), before, rtol=1e-3, atol=1e-4)
