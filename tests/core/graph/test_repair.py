"""Models whose code breaks when some channels go keep those; the rest is pruned."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrazor.core.graph import (
    ChannelGraph,
    Checked,
    UnverifiableError,
    channel_graph,
    checked_slimming,
    relative_difference,
    repair,
)
from tests.core.graph.checking import run
from tests.core.graph.toys import Net, conv, image, net, tokens


def half(graph: ChannelGraph) -> dict[str, Any]:
    return {group.name: range(group.size // 2) for group in graph.groups}


def pruned(model: nn.Module, inputs: Any) -> tuple[ChannelGraph, Checked]:
    graph = channel_graph(model, inputs)
    checked = checked_slimming(graph, half, inputs)
    assert checked.max_difference <= 1e-4
    assert set(checked.kept) == {group.name for group in graph.groups}
    assert not set(checked.kept) & set(graph.unprunable)
    if checked.kept:
        change = relative_difference(run(model, inputs), run(checked.model, inputs))
        assert change > 1e-4
    return graph, checked


def test_nothing_is_wrong() -> None:
    model = net(lambda m, x: m.o(m.a(x)), a=conv(3, 8), o=conv(8, 2))
    graph, checked = pruned(model, image())
    assert checked.kept == {"a.out": [0, 1, 2, 3]}
    assert graph.unprunable == {"o.out": "is an output of the network"}
    assert checked.cuts == graph.cuts(checked.kept)


class Windows(nn.Module):
    """Computes the width of a head from the width of its input, as Swin does."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self.proj(y.reshape(batch, length, -1))


def test_width_of_heads_computed_from_the_input() -> None:
    model = net(
        lambda m, x: m.o(m.up(m.inner(m.down(m.w(m.e(x)))).relu())),
        e=nn.Linear(4, 12),
        w=Windows(12, 3),
        down=nn.Linear(12, 8),
        inner=nn.Linear(8, 8),
        up=nn.Linear(8, 8),
        o=nn.Linear(8, 2),
    )
    graph, checked = pruned(model, tokens())
    # heads go with their slices of the embedding; the width of proj's outputs is free
    assert set(checked.kept) == {
        *("e.out", "w.proj.out", "down.out", "inner.out", "up.out"),
    }
    assert graph["e.out"].size == 3
    assert not any("breaks" in reason for reason in graph.unprunable.values())


def test_a_number_in_the_code() -> None:
    model = net(
        lambda m, x: m.o(m.b(m.a(x).view(2, 8, 36).mean(2)).tanh()),
        a=conv(3, 8),
        b=nn.Linear(8, 6),
        o=nn.Linear(6, 2),
    )
    graph, checked = pruned(model, image())
    assert set(checked.kept) == {"b.out"}
    assert graph.unprunable["a.out"].startswith("breaks the model (RuntimeError: shape")
    assert checked.model.b.in_features == 8


def test_a_number_in_the_code_of_an_inner_module() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = conv(3, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x).reshape(len(x), 8, -1).mean(2)

    model = net(
        lambda m, x: m.o(m.b(m.i(x)).tanh()),
        i=Inner(),
        b=nn.Linear(8, 6),
        o=nn.Linear(6, 2),
    )
    graph, checked = pruned(model, image())
    assert set(checked.kept) == {"b.out"}
    # 'i' makes another shape of fewer channels; the layer after it does not fit
    assert "a.out" in " ".join(graph.unprunable)


def test_parts_that_are_cut_elsewhere_afterwards() -> None:
    """chunk(3) makes parts of 4, 4 and 2: fewer channels run, and are wrong."""
    model = net(
        lambda m, x: m.o(torch.cat([m.b(x), *m.a(x).chunk(3, 1)[::2]], 1)),
        a=conv(3, 10),
        b=conv(3, 6),
        o=conv(12, 2),
    )
    graph = channel_graph(model, image())

    def choose(current: ChannelGraph) -> dict[str, list[int]]:
        wanted = {"a.out": [0, 1, 2, 3, 4], "a.out.2": [1, 2, 3], "b.out": [0]}
        return {g.name: wanted[g.name] for g in current.groups}

    assert set(choose(graph)) == {"a.out", "a.out.2", "b.out"}
    checked = checked_slimming(graph, choose, image())
    assert set(checked.kept) == {"b.out"}
    for name in ("a.out", "a.out.2"):
        assert graph.unprunable[name].startswith("breaks the model (")


def test_several_places_at_once() -> None:
    def run_all(m: Net, x: Tensor) -> Tensor:
        y = m.a(x).view(2, 8, 6, 6)
        y = m.c(m.b(y).relu())
        y = m.d(y.view(2, 6, 6, 6)).relu()
        return m.o(y)

    model = net(
        run_all, a=conv(3, 8), b=conv(8, 4), c=conv(4, 6), d=conv(6, 5), o=conv(5, 2)
    )
    graph, checked = pruned(model, image())
    assert set(checked.kept) == {"b.out", "d.out"}
    assert {"a.out", "c.out"} <= graph.unprunable.keys()


def test_everything_breaks() -> None:
    model = net(lambda m, x: m.o(m.a(x).view(2, 8, 6, 6)), a=conv(3, 8), o=conv(8, 2))
    _, checked = pruned(model, image())
    assert checked.kept == {}
    assert checked.model.a.out_channels == 8


def test_errors_of_the_choice_are_those_of_the_caller() -> None:
    def choose(_: ChannelGraph) -> dict[str, list[int]]:
        raise LookupError("no budget")

    model = net(lambda m, x: m.o(m.a(x)), a=conv(3, 8), o=conv(8, 2))
    graph = channel_graph(model, image())
    with pytest.raises(LookupError, match="no budget"):
        checked_slimming(graph, choose, image())


def noisy(m: Net, x: Tensor) -> Tensor:
    x = F.dropout(m.a(x), 0.5, training=True)
    return m.o(F.dropout(m.b(x), m.p, training=True))


def test_random_in_eval_mode() -> None:
    """What dropout leaves out depends on how many channels there are."""
    model = net(noisy, a=conv(3, 8), b=conv(8, 8), o=conv(8, 2), p=0.5)
    graph = channel_graph(model, image())
    with pytest.raises(
        RuntimeError, match=r"Net gives other values each time it runs in eval mode"
    ):
        checked_slimming(graph, half, image())


def test_random_in_one_place() -> None:
    model = net(noisy, a=conv(3, 8), b=conv(8, 8), o=conv(8, 2), p=0.0)
    graph, checked = pruned(model, image())
    assert set(checked.kept) == {"b.out"}
    assert "gives other values each time it runs" in graph.unprunable["a.out"]


def test_randomness_that_does_not_depend_on_channels_is_no_obstacle() -> None:
    model = net(
        lambda m, x: m.o(m.a(x + torch.rand_like(x))), a=conv(3, 8), o=conv(8, 2)
    )
    _, checked = pruned(model, image())
    assert set(checked.kept) == {"a.out"}


def test_not_random_but_broken() -> None:
    """A harmless random input does not hide which group breaks the model."""
    model = net(
        lambda m, x: m.o(m.b(m.a(x + torch.rand_like(x))).view(2, 6, 6, 6)),
        a=conv(3, 8),
        b=conv(8, 6),
        o=conv(6, 2),
    )
    graph, checked = pruned(model, image())
    assert set(checked.kept) == {"a.out"}
    assert graph.unprunable["b.out"].startswith("breaks the model (RuntimeError")


def test_nothing_but_nan() -> None:
    model = net(lambda m, x: m.o(m.a(x / 0)) * float("nan"), a=conv(3, 8), o=conv(8, 2))
    graph = channel_graph(model, image())
    with pytest.raises(
        UnverifiableError, match=r"Net gives no finite number on the example inputs"
    ):
        checked_slimming(graph, half, image())


def test_nan_with_its_own_weights() -> None:
    """Then random weights tell; what they show to be wrong is not taken for right."""
    parts = dict(a=conv(3, 10), b=conv(3, 6), o=conv(12, 2))

    def cut_elsewhere(m: Net, x: Tensor) -> Tensor:
        return m.o(torch.cat([m.b(x), *m.a(x).chunk(3, 1)[::2]], 1))

    model = net(cut_elsewhere, **parts)
    model.o.bias.data.fill_(float("nan"))
    graph = channel_graph(model, image())

    def choose(current: ChannelGraph) -> dict[str, list[int]]:
        wanted = {"a.out": [0, 1, 2, 3, 4], "a.out.2": [1, 2, 3], "b.out": [0]}
        return {g.name: wanted[g.name] for g in current.groups}

    assert set(checked_slimming(graph, choose, image()).kept) == {"b.out"}


def test_some_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "mmrazor.core.graph.repair.print_log", lambda text, **_: said.append(text)
    )

    def partly(m: Net, x: Tensor) -> Tensor:
        y = m.o(m.a(x))
        return torch.cat([y, torch.full_like(y, float("nan"))], 1)

    model = net(partly, a=conv(3, 8), o=conv(8, 2))
    graph = channel_graph(model, image())
    checked = checked_slimming(graph, half, image())
    assert set(checked.kept) == {"a.out"}
    assert said[0].startswith("What Net returns on the example inputs holds nan")


def test_an_output_without_numbers() -> None:
    """A detector that finds nothing: what its modules return is compared."""

    def detect(m: Net, x: Tensor) -> Tensor:
        y = m.o(torch.cat([m.b(x), *m.a(x).chunk(3, 1)[::2]], 1))
        return y[y > 1e9]

    model = net(detect, a=conv(3, 10), b=conv(3, 6), o=conv(12, 2))
    graph = channel_graph(model, image())

    def choose(current: ChannelGraph) -> dict[str, list[int]]:
        wanted = {"a.out": [0, 1, 2, 3, 4], "a.out.2": [1, 2, 3], "b.out": [0]}
        return {g.name: wanted[g.name] for g in current.groups}

    checked = checked_slimming(graph, choose, image())
    assert set(checked.kept) == {"b.out"}
    assert graph.unprunable["a.out"].startswith("breaks the model (output differs by")


class Counted(nn.Module):
    """Counts on the width of its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(self.a(x).reshape(*x.shape[:-1], 8).relu())


def test_what_breaks_twice_is_not_tried_in_every_module_of_its_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(repair, "print_log", lambda text, **_: told.append(text))
    model = net(
        lambda m, x: m.o(m.d(m.c(m.b(m.a(x))))),
        **{name: Counted() for name in "abcd"},
        o=nn.Linear(8, 2),
    )
    graph = channel_graph(model, torch.rand(2, 3, 8))
    checked_slimming(graph, half, torch.rand(2, 3, 8))
    frozen = {n for n, why in graph.unprunable.items() if "breaks" in why}
    assert {f"{name}.a.out" for name in "abcd"} <= frozen
    assert sum(".a.out" in text for text in told) == 2, told
    assert "b.a.out, c.a.out, d.a.out" in told[1]


def test_what_breaks_in_layers_that_a_cut_replaces() -> None:
    """Attention of torch is of another class when it is cut."""

    def forward(m: Net, x: Tensor) -> Tensor:
        x = m.e(x)
        for layer in (m.a, m.b, m.c):
            x = x + layer(x, x, x, need_weights=False)[0]
        return m.o(x)

    heads = {name: nn.MultiheadAttention(8, 1, batch_first=True) for name in "abc"}
    model = net(forward, e=nn.Linear(3, 8), **heads, o=nn.Linear(8, 2))
    x = torch.rand(2, 5, 3)
    graph = channel_graph(model, x)

    def most(current: ChannelGraph) -> dict[str, list[int]]:
        return {g.name: list(range(g.size // 2 + 1)) for g in current.groups}

    checked = checked_slimming(graph, most, x)
    assert set(checked.kept) == {"e.out"}
    assert checked.model(x).shape == (2, 5, 2)
    for name in "abc":
        assert graph.unprunable[f"{name}.out"].startswith("breaks the model in")
