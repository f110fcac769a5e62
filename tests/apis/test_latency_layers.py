"""Layers of small networks at several widths, with a clock that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmrazor.apis import latency_budget, latency_file, latency_layers
from mmrazor.apis.latency_budget import prune_to_budget
from mmrazor.apis.latency_calls import layer_calls
from mmrazor.apis.latency_file import check_table, error_text, table_in
from mmrazor.apis.latency_layers import layer_timer, measure_table
from mmrazor.apis.steps import Steps
from mmrazor.core.cost import LatencyTable, LatencyTableError, count_cost
from mmrazor.core.graph import channel_graph, slim
from mmrazor.models.pruners import BudgetError

IMAGE = torch.rand(1, 3, 8, 8)


def macs_timer(layer: nn.Module, args: tuple, kwargs: dict) -> float:
    """A millisecond is 1000 multiply-accumulates."""
    return count_cost(layer, args).macs / 1000


def total_ms(model: nn.Module) -> float:
    return 7 + count_cost(model, IMAGE).macs / 1000


class Net(nn.Module):
    """A residual stream, a concatenation, a depthwise layer, a flattened map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.side = nn.Conv2d(8, 16, 1)
        self.last = nn.Conv2d(24, 4, 1, stride=2)
        self.fc = nn.Linear(4 * 16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stem(x)).relu()
        x = x + self.depth(self.inner(x))
        x = self.last(torch.cat([x, self.side(x)], 1))
        return self.fc(x.flatten(1))


@pytest.fixture
def graph() -> Any:
    torch.manual_seed(0)
    return channel_graph(Net().eval(), IMAGE)


def test_macs_are_bilinear_so_the_table_is_exact(graph: Any) -> None:
    table = measure_table(graph, IMAGE, total_ms(graph.model), timer=macs_timer)
    assert table.rest_ms == pytest.approx(7)
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        kept = {
            g.name: int(torch.randint(1, g.size + 1, (), generator=generator))
            for g in graph.groups
        }
        small = slim(graph.model, graph.cuts({n: range(k) for n, k in kept.items()}))
        # The depthwise layer is linear, in and out being one group.
        assert table(kept) == pytest.approx(total_ms(small))


def test_layers_grids_and_what_shrinks(graph: Any) -> None:
    names = [call.name for call in layer_calls(graph, IMAGE)]
    assert names == ["stem", "norm", "inner", "depth", "side", "last", "fc"]
    table = measure_table(graph, IMAGE, 1.0, timer=macs_timer, points=4)
    layers = {layer.layer: layer for layer in table.layers}
    assert layers["stem"].grid_in == (0,)
    assert layers["stem"].grid_out == (1, 2, 4, 6, 8)
    stream = next(iter(layers["norm"].ins.per_unit))
    assert layers["norm"].grid_out == (0,)  # they follow from those that go in
    assert dict(layers["last"].ins.per_unit) == {stream: 1, "side.out": 1}
    assert layers["last"].grid_in == (2, 6, 12, 18, 24)
    assert dict(layers["fc"].ins.per_unit) == {"last.out": 16}
    assert layers["stem"].times_ms[0][2] == 64 * 9 * 3 * 4 / 1000


def test_attention_has_heads_that_no_tensor_shows() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.proj = nn.Linear(6, 16)
            self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
            self.head = nn.Linear(16, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.proj(x)
            return self.head(self.attention(x, x, x, need_weights=False)[0])

    tokens = torch.rand(1, 5, 6)
    block = channel_graph(Block().eval(), tokens)
    shapes = []

    def timer(layer: nn.Module, args: tuple, kwargs: dict) -> float:
        out = layer(*args, **kwargs)
        shapes.append(tuple((out[0] if isinstance(out, tuple) else out).shape))
        return float(sum(p.numel() for p in layer.parameters()))

    table = measure_table(block, tokens, 1e6, timer=timer, points=2)
    heads = next(group for group in block.groups if group.size == 4)
    layer = next(layer for layer in table.layers if layer.layer == "attention")
    # Queries, keys and values of four; the axis is also what the projection makes.
    assert layer.outs.per_unit == {heads.name: 12, "attention.out_proj.out": 1}
    half = {heads.name: 2, "attention.out_proj.out": 8}
    small = slim(block.model, block.cuts({n: range(k) for n, k in half.items()}))
    saved = sum(p.numel() for p in block.model.parameters())
    saved -= sum(p.numel() for p in small.parameters())
    assert table({}) - table(half) == pytest.approx(saved)
    assert len(shapes) > 6


def test_equal_layers_are_timed_once(graph: Any) -> None:
    timed = []

    def timer(layer: nn.Module, args: tuple, kwargs: dict) -> float:
        timed.append((repr(layer), *(a.shape for a in args)))
        return 1.0

    measure_table(graph, IMAGE, 1.0, timer=timer)
    assert len(timed) == len(set(timed)) > 20


def test_a_layer_that_does_not_run_alone_is_named(
    graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        latency_layers, "print_log", lambda text, **_: said.append(text)
    )

    def timer(layer: nn.Module, args: tuple, kwargs: dict) -> float:
        if isinstance(layer, nn.Linear):
            raise RuntimeError("no")
        return 1.0

    table = measure_table(graph, IMAGE, 9.0, timer=timer)
    assert "fc" not in [layer.layer for layer in table.layers]
    assert "1 layers do not run alone when they are narrower" in said[0]
    assert "'fc' (RuntimeError: no)" in said[0]
    assert table({}) == 9.0


def test_the_real_timer_and_check(graph: Any) -> None:
    timed = layer_timer("cpu")(nn.Conv2d(3, 8, 3), (IMAGE,), {})
    assert 0 <= timed < 1000
    table = LatencyTable(graph.sizes(), [], 5.0, "a cpu", "3f2a")
    [(guess, real)] = check_table(table, graph, IMAGE, num_subnets=1)
    assert guess == 5.0
    assert real > 0
    assert error_text([(1.0, 2.0)]).endswith("off by 50% on average, 50% at most")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Count what is measured of whole models, and let layers take their MACs."""
    times: list[float] = []

    def measured(device: Any, model: nn.Module, inputs: Any) -> float:
        times.append(total_ms(model))
        return times[-1]

    monkeypatch.setattr(latency_budget, "latency_on", measured)
    monkeypatch.setattr(latency_file, "latency_on", measured)
    timer = "mmrazor.apis.latency_layers.layer_timer"
    monkeypatch.setattr(timer, lambda device: macs_timer)
    return times


def test_a_budget_by_the_table(graph: Any, clock: list[float], tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    table = table_in(path, graph, IMAGE, "cpu", Steps())
    assert len(clock) == 1 + 4 + 5  # the whole model, four narrow, five random ones
    assert table.scale == pytest.approx(1)
    dense = clock[0]
    clock.clear()
    found = prune_to_budget(graph, IMAGE, dict(latency_ms=0.6), table=table)
    assert len(clock) == 1  # the result alone
    latency_ms = found.subnet.cost["latency_ms"]
    assert 0.5 * dense < latency_ms <= 0.6 * dense
    assert latency_ms == total_ms(found.model)
    with pytest.raises(BudgetError, match=r"latency_ms is at least"):
        prune_to_budget(graph, IMAGE, dict(latency_ms=7.0), table=table)

    again = table_in(path, graph, IMAGE, "cpu", Steps())
    assert again(dict.fromkeys(table.groups, 1)) == table(
        dict.fromkeys(table.groups, 1)
    )
    larger = torch.rand(1, 3, 8, 16)
    with pytest.raises(LatencyTableError, match="of another model"):
        prune_to_budget(graph, larger, dict(latency_ms=0.6), table=table)


def test_a_table_that_promises_too_much(graph: Any, clock: list[float]) -> None:
    dense = total_ms(graph.model)
    table = measure_table(graph, IMAGE, dense, timer=macs_timer)
    names = (table.device, table.model)
    bold = LatencyTable(table.groups, table.layers, dense, *names, scale=1.08)
    found = prune_to_budget(graph, IMAGE, dict(latency_ms=0.6), table=bold)
    assert len(clock) > 1
    assert clock[0] > 0.6 * dense
    assert found.subnet.cost["latency_ms"] == clock[-1] <= 0.6 * dense
    with pytest.raises(ValueError, match="under the budget's low end"):
        prune_to_budget(
            graph, IMAGE, dict(latency_ms=(0.59, 0.6), macs=0.2), table=table
        )


def test_models_that_are_never_fast_enough(
    graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = measure_table(graph, IMAGE, total_ms(graph.model), timer=macs_timer)
    slow = lambda device, model, inputs: 0.601 * table.dense_ms  # noqa: E731
    monkeypatch.setattr(latency_budget, "latency_on", slow)
    with pytest.raises(BudgetError, match="of 7 models that the latency table puts"):
        prune_to_budget(graph, IMAGE, dict(latency_ms=0.6), table=table)
