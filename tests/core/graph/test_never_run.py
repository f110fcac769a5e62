"""What no run has shown stays right: it follows a copy, or its surroundings stay."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mmrazor
from mmrazor.core.graph import channel_graph, checked_slimming
from mmrazor.core.graph.channel_graph import ChannelGraph
from mmrazor.core.graph.named_parts import is_named
from mmrazor.core.graph.never_run import never_run

from .toys import conv, image, net


def half(graph: ChannelGraph) -> dict[str, Any]:
    return {group.name: range(group.size // 2) for group in graph.groups}


def pruned(model: nn.Module, inputs: Any) -> tuple[nn.Module, ChannelGraph]:
    graph = channel_graph(model, inputs)
    return checked_slimming(graph, half, inputs).model, graph


@pytest.fixture
def warnings_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []

    def note(text: str, **kwargs: Any) -> None:
        lines.append(text)

    monkeypatch.setattr("mmrazor.core.graph.never_run.print_log", note)
    return lines


class Flagged(nn.Module):
    """A stem and two layers, and a part that an attribute switches on."""

    def __init__(self, part: nn.Module, run: Callable[..., Tensor]) -> None:
        super().__init__()
        self.stem, self.wide, self.last = conv(3, 8), conv(8, 12), conv(12, 11)
        self.head = conv(11, 2)
        self.part, self.run = part, run
        self.on = False

    def forward(self, x: Tensor) -> Tensor:
        early = self.stem(x).relu()
        late = self.wide(early).relu()
        if self.on:
            late = self.run(self.part, early, late)
        return self.head(self.last(late).relu())


PARTS = {
    "a layer beside another": (
        conv(8, 12),
        lambda part, early, late: late + part(early),
        {"stem.out", "wide.out"},
    ),
    "a chain, of which the ends alone meet the rest": (
        nn.Sequential(conv(8, 11), nn.ReLU(), conv(11, 12)),
        lambda part, early, late: late * part(early),
        {"stem.out", "wide.out"},
    ),
    "a layer in another's place": (
        conv(8, 12),
        lambda part, early, late: part(early),
        {"stem.out", "wide.out"},
    ),
    "two kinds of channels joined": (
        conv(20, 12),
        lambda part, early, late: part(torch.cat([early, late], 1)),
        {"stem.out", "wide.out"},
    ),
    "channels that are pooled and flattened": (
        nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8 * 4, 12)),
        lambda part, early, late: late + part(early)[:, :, None, None],
        {"stem.out", "wide.out"},
    ),
}


@pytest.mark.parametrize("kind", PARTS)
def test_what_a_switched_off_part_may_meet_stays(
    kind: str, warnings_of: list[str]
) -> None:
    part, run, kept = PARTS[kind]
    model = Flagged(part, run)
    small, graph = pruned(model, image())
    assert kept <= set(graph.unprunable)
    assert [group.name for group in graph.groups] == ["last.out"]  # not more than that
    (line,) = warnings_of
    assert "'part'" in line
    small.on = True
    small.train()(image()).sum().backward()


def test_parts_that_no_code_names_hold_nothing_back(warnings_of: list[str]) -> None:
    model = net(lambda m, x: m.o(m.a(x)), a=conv(3, 8), o=conv(8, 2), old=conv(8, 8))
    small, graph = pruned(model, image())
    assert small.a.out_channels == 4
    assert graph.unprunable["old.out"] == "is in 'old', which no example input runs"
    assert "'old'" in warnings_of[0]


class Looked(nn.Module):
    """Takes layers by attribute, by made-up name, and from containers."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.never, self.made1 = conv(1, 1), conv(1, 1), conv(1, 1)
        self.rows = nn.ModuleList([conv(1, 1)])
        self.inner = nn.Sequential(conv(1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.rows[0](self.plain(x)))


class ByName(Looked):
    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, f"made{1}")(x)


def test_names_in_code() -> None:
    named = [name for name, _ in Looked().named_parameters()]
    assert [name for name in named if not is_named(Looked(), name)] == [
        *("never.weight", "never.bias", "made1.weight", "made1.bias")
    ]
    assert all(is_named(ByName(), name) for name in named)
    outer = nn.Sequential(Looked())
    assert is_named(outer, "0.plain.weight")
    assert not is_named(outer, "0.never")


class BySize(nn.Module):
    """Large images go through a layer more."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down, self.head = conv(3, 8), conv(8, 8, 3), conv(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        if x.shape[-1] > 8:
            x = self.down(x).relu()
        return self.head(x)


def test_a_branch_by_size_stays_or_is_shown_by_a_second_input() -> None:
    little, large = torch.rand(1, 3, 6, 6), torch.rand(1, 3, 16, 16)
    graph = channel_graph(BySize(), little)
    assert (graph.groups, set(graph.unprunable)) == (
        [],
        {"stem.out", "down.out", "head.out"},
    )
    for inputs in ([little, large], [large, little]):
        small, graph = pruned(BySize(), inputs)
        # what the head reads comes from either: one group
        assert [group.name for group in graph.groups] == ["stem.out"]
        assert (small.down.in_channels, small.down.out_channels) == (4, 4)
        assert small(large).shape == (1, 2, 16, 16)
        assert graph.recorded.inputs is inputs[0]
    assert list(channel_graph(BySize(), [(large,), {"x": little}]).sizes()) == [
        "stem.out"
    ]
    with pytest.raises(ValueError, match="list of example inputs is empty"):
        channel_graph(BySize(), [])


class Averaged(nn.Module):
    """Keeps a moving average of a part of itself."""

    def __init__(self, copied: Callable[[Averaged], nn.Module]) -> None:
        super().__init__()
        body = [conv(3, 8), nn.BatchNorm2d(8), nn.ReLU(), conv(8, 6), nn.ReLU()]
        self.body, self.head = nn.Sequential(*body), conv(6, 2)
        self.average = copied(self)
        self.average.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

    @torch.no_grad()
    def update(self) -> None:
        live = dict(self.named_parameters())
        for name, tensor in self.average.named_parameters():
            name = name if name in live else f"body.{name}"
            tensor.mul_(0.9).add_(live[name], alpha=0.1)


COPIES = {
    "of a part": (lambda model: copy.deepcopy(model.body), {"average": "body"}),
    "of the whole": (copy.deepcopy, {"average": ""}),
    "part by part": (
        lambda model: nn.ModuleDict(
            {"body": copy.deepcopy(model.body), "head": copy.deepcopy(model.head)}
        ),
        {"average.body": "body", "average.head": "head"},
    ),
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("moved", [0.0, 0.3])
def test_averages_keep_the_channels_of_what_they_average(
    kind: str, moved: float
) -> None:
    copied, expected = COPIES[kind]
    model = Averaged(copied).eval()
    with torch.no_grad():
        for tensor in model.average.parameters():  # as it is in the midst of training
            tensor.add_(moved * torch.randn_like(tensor) * tensor.abs().mean())
    unused = [n for n, _ in model.named_parameters() if n.startswith("average")]
    called = {"", "body", "head"}
    assert never_run(model, unused, called).copies == expected
    small, graph = pruned(model, image())
    assert [group.name for group in graph.groups] == ["body.0.out", "body.3.out"]
    roles = {s.role for g in graph.groups for s in g.slots if "average" in s.name}
    assert roles == {"other"}  # what is averaged ranks the channels, not the average
    assert small.body[1].num_features == 4
    small.update()


def test_a_copy_that_may_be_put_elsewhere_holds_both_places() -> None:
    def forward(model: Any, x: Tensor) -> Tensor:
        early = model.stem(x).relu()
        late = model.wide(early).relu()
        return model.heads[0](early) if model.early else model.heads[1](late)

    head = nn.Sequential(conv(8, 6), nn.ReLU(), conv(6, 2))
    heads = nn.ModuleList([copy.deepcopy(head) for _ in range(2)])
    model = net(forward, stem=conv(3, 8), wide=conv(8, 8), heads=heads, early=False)
    heads[1].load_state_dict(heads[0].state_dict())
    small, graph = pruned(model, image())
    assert [group.name for group in graph.groups] == ["heads.1.0.out"]
    assert "a copy of 'heads.1'" in graph.unprunable["stem.out"]
    small.early = True
    small(image())


def test_a_norm_without_use_follows_the_channels_around_it() -> None:
    def forward(model: Any, x: Tensor) -> Tensor:
        x = model.stem(x)
        return model.head(model.norm(x) if model.on else x)

    norm = nn.BatchNorm2d(8)
    model = net(forward, stem=conv(3, 8), norm=norm, head=conv(8, 2), on=False)
    small, _ = pruned(model, image())
    assert small.norm.num_features == small.stem.out_channels == 4
    assert len(small.norm.running_mean) == 4
    small.on = True
    small(image())


class WeightsAlone(nn.Module):
    """Reads weights of layers whose biases nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 1), nn.ConvTranspose2d(8, 6, 1)
        self.c = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.conv2d(x, self.a.weight).relu()
        return self.c(nn.functional.conv_transpose2d(x, self.b.weight).relu())


def test_a_bias_follows_the_weight_beside_it(caplog: pytest.LogCaptureFixture) -> None:
    x = torch.rand(1, 3, 4, 4)
    pruned = mmrazor.prune(WeightsAlone(), x, budget=dict(macs=0.5))
    for layer in (pruned.model.a, pruned.model.b):
        assert len(layer.bias) == layer.out_channels
        layer(torch.rand(1, layer.in_channels, 4, 4))
    assert pruned.model.a.out_channels < 8
    assert "never run" not in caplog.text


class Replaced(WeightsAlone):
    """Names nothing of what the forward that it replaces names."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Extended(WeightsAlone):
    """Calls the forward that it replaces."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


class ExtendedByName(WeightsAlone):
    def forward(self, x: Tensor) -> Tensor:
        return WeightsAlone.forward(self, x) + 1


def test_code_that_is_replaced_names_nothing() -> None:
    assert not is_named(Replaced(), "a.weight")
    assert is_named(Extended(), "a.weight")
    assert is_named(ExtendedByName(), "a.weight")


def test_few_weights_are_no_copy_because_they_are_alike_by_chance() -> None:
    a, b = nn.Linear(2, 3, bias=False), nn.Linear(2, 3, bias=False)
    a.weight.data = torch.tensor([[1.0, 2], [3, 4], [5, -15]])
    b.weight.data = torch.tensor([[15.0, -1], [-17, 9], [-5, -28]])
    pair = torch.stack([a.weight.flatten(), b.weight.flatten()]).detach()
    assert 0.5 < float(pair.corrcoef()[0, 1]) < 0.7
    two = nn.ModuleDict({"a": a, "b": b})
    assert never_run(two, ["b.weight"], ["", "a"]).copies == {}
    b.weight.data = a.weight.data.clone()
    assert never_run(two, ["b.weight"], ["", "a"]).copies == {"b": "a"}
