"""Costs of random small networks, against forward hooks and plain formulas.

The networks have branches, parameters that several layers share, layers that run more
than once, and recurrent layers of every kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mmrazor.core.cost import CostTable, count_cost
from mmrazor.core.graph import ChannelGraph, channel_graph, checked_slimming

WIDTH, STEPS, BATCH = 4, 5, 2


def _of_linear(layer: nn.Linear, x: Tensor, _: Any) -> int:
    return x.numel() * layer.out_features


def _of_conv(layer: nn.Conv1d, x: Tensor, y: Tensor) -> int:
    places = y.shape[0] * y.shape[2]
    fan_in = layer.in_channels // layer.groups * layer.kernel_size[0]
    return places * layer.out_channels * fan_in


def _of_transposed(layer: nn.ConvTranspose1d, x: Tensor, y: Tensor) -> int:
    places = x.shape[0] * x.shape[2]
    fan_out = layer.out_channels // layer.groups * layer.kernel_size[0]
    return places * layer.in_channels * fan_out


def _of_recurrent(layer: nn.RNNBase, x: Tensor, _: Any) -> int:
    gates = {"LSTM": 4, "GRU": 3}.get(layer.mode, 1)
    directions = 2 if layer.bidirectional else 1
    state = layer.proj_size or layer.hidden_size
    total, inputs = 0, layer.input_size
    for _ in range(layer.num_layers):
        one = gates * layer.hidden_size * (inputs + state)
        one += layer.proj_size * layer.hidden_size
        total += directions * one
        inputs = directions * state
    return x[..., 0].numel() * total


def _of_attention(layer: nn.MultiheadAttention, x: Tensor, _: Any) -> int:
    batch, tokens, width = x.shape
    return batch * tokens * width * width * 4 + 2 * batch * tokens * tokens * width


def _of_bilinear(layer: nn.Bilinear, x: Tensor, _: Any) -> int:
    return x[..., 0].numel() * layer.weight.numel()


FORMULAS: dict[type[nn.Module], Callable[[Any, Tensor, Any], int]] = {
    nn.Linear: _of_linear,
    nn.Conv1d: _of_conv,
    nn.ConvTranspose1d: _of_transposed,
    nn.LSTM: _of_recurrent,
    nn.GRU: _of_recurrent,
    nn.RNN: _of_recurrent,
    nn.MultiheadAttention: _of_attention,
    nn.Bilinear: _of_bilinear,
}


def hooked_macs(model: nn.Module, x: Tensor) -> int:
    """Count by forward hooks."""
    found: list[int] = []
    inside = {
        id(child)
        for module in model.modules()
        if isinstance(module, nn.MultiheadAttention)
        for child in module.modules()
        if child is not module
    }

    def hook(layer: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        found.append(FORMULAS[type(layer)](layer, args[0], result))

    handles = [
        layer.register_forward_hook(hook)
        for layer in model.modules()
        if type(layer) in FORMULAS and id(layer) not in inside
    ]
    with torch.no_grad():
        model.eval()(x)
    for handle in handles:
        handle.remove()
    return sum(found)


class Block(nn.Module):
    """A layer on (batch, steps, WIDTH), back to that width."""

    def __init__(self, kind: str, number: int, flag: bool) -> None:
        super().__init__()
        self.kind, wide = kind, WIDTH * number
        if kind == "linear":
            self.a, self.b = nn.Linear(WIDTH, wide, flag), nn.Linear(wide, WIDTH)
        elif kind == "tied":
            self.a, self.b = nn.Linear(WIDTH, wide, False), nn.Linear(WIDTH, wide)
            self.b.weight = self.a.weight
            self.back = nn.Linear(wide, WIDTH)
        elif kind == "conv":
            groups = 2 if flag else 1
            self.a = nn.Conv1d(WIDTH, wide, 3, padding=1, groups=groups)
            self.b = nn.ConvTranspose1d(wide, WIDTH, 3, padding=1, groups=groups)
        elif kind == "attention":
            self.a = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        elif kind == "bilinear":
            self.a = nn.Bilinear(WIDTH, WIDTH, WIDTH)
        else:
            layers = dict(num_layers=number, bidirectional=flag)
            made = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN, "projected": nn.LSTM}
            if kind == "projected":
                layers["proj_size"] = 2
            self.a = made[kind](WIDTH, 3, batch_first=True, **layers)
            out = (2 if kind == "projected" else 3) * (2 if flag else 1)
            self.b = nn.Linear(out, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "linear":
            return self.b(self.a(x).relu())
        if self.kind == "tied":
            return self.back((self.a(x) * self.b(x)).relu())
        if self.kind == "conv":
            return self.b(self.a(x.transpose(1, 2)).relu()).transpose(1, 2)
        if self.kind == "attention":
            return self.a(x, x, x, need_weights=False)[0]
        if self.kind == "bilinear":
            return self.a(x, x.tanh())
        return self.b(self.a(x)[0])


class Network(nn.Module):
    """Blocks in a row, beside a branch, or run once more."""

    def __init__(self, parts: list[tuple[str, int, bool, str]]) -> None:
        super().__init__()
        self.places = [place for *_, place in parts]
        self.blocks = nn.ModuleList(Block(*how) for *how, _ in parts)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        for place, block in zip(self.places, self.blocks, strict=True):
            if place == "branch":
                x = x + block(x)
            elif place == "again":
                x = block(block(x))
            else:
                x = block(x)
        return self.head(x)


KINDS = [
    "linear",
    "tied",
    "conv",
    "attention",
    "bilinear",
    "lstm",
    "gru",
    "rnn",
    "projected",
]
NETWORKS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(1, 2),
        st.booleans(),
        st.sampled_from(["row", "branch", "again"]),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40)
@given(NETWORKS, st.sampled_from([torch.float32, torch.float64]))
def test_counts_equal_hooks_and_formulas(parts, dtype) -> None:
    model = Network(parts).to(dtype)
    x = torch.rand(BATCH, STEPS, WIDTH, dtype=dtype)
    cost = count_cost(model, x)
    assert cost.uncounted == {}
    assert cost.macs == hooked_macs(model, x)
    assert cost.params == sum(p.numel() for p in model.parameters())


@settings(max_examples=10)
@given(NETWORKS, st.sampled_from([torch.float32, torch.float64]), st.data())
def test_the_table_of_cuts_equals_the_count_of_what_is_left(parts, dtype, data) -> None:
    model = Network(parts).to(dtype).eval()
    x = torch.rand(BATCH, STEPS, WIDTH, dtype=dtype)
    graph = channel_graph(model, x)
    table = CostTable.of(graph.sizes(), *graph.products())
    dense = count_cost(model, x, graph.recorded)
    assert (table.dense.macs, table.dense.params) == (dense.macs, dense.params)
    wanted = {
        group.name: list(range(data.draw(st.integers(1, group.size))))
        for group in graph.groups
    }

    def choose(current: ChannelGraph) -> dict[str, list[int]]:
        return {group.name: wanted[group.name] for group in current.groups}

    checked = checked_slimming(graph, choose, x)
    small = checked.model
    left = count_cost(small, x)
    cost = table.cost({name: len(units) for name, units in checked.kept.items()})
    assert (cost.macs, cost.params) == (left.macs, left.params)
    if not any(kind == "attention" for kind, *_ in parts):  # replaced when cut
        assert left.macs == hooked_macs(small, x)
