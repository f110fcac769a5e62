"""What users say of a model by hand, and what they are told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.graph import TraceError, channel_graph, slim, trace
from tests.core.graph.checking import check, random_kept, run
from tests.core.graph.toys import conv, groups_of, image, net, tokens


def branches() -> nn.Module:
    return net(
        lambda m, x: m.o(torch.cat([m.a(x), m.b(x)], 1).relu()),
        a=nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 6)),
        b=conv(3, 6),
        o=conv(12, 2),
    )


def test_without_options() -> None:
    graph = channel_graph(branches(), image())
    assert [(g.name, g.size) for g in graph.groups] == [
        ("a.0.out", 4),
        ("a.2.out", 6),
        ("b.out", 6),
    ]


def test_ignored_modules_keep_their_size() -> None:
    graph = channel_graph(branches(), image(), ignore=["a"])
    assert [g.name for g in graph.groups] == ["b.out"]
    assert graph.unprunable["a.0.out"] == "is in 'a', which is ignored"
    assert graph.unprunable["a.2.out"] == "is in 'a', which is ignored"


def test_ignoring_a_reader_freezes_what_it_reads() -> None:
    graph = channel_graph(branches(), image(), ignore=["o"])
    assert [g.name for g in graph.groups] == ["a.0.out"]
    assert graph.unprunable["b.out"] == "is in 'o', which is ignored"


def test_names_that_begin_alike_are_not_ignored() -> None:
    model = net(
        lambda m, x: m.o(m.ab(m.a(x))), a=conv(3, 4), ab=conv(4, 5), o=conv(5, 2)
    )
    graph = channel_graph(model, image(), ignore=["a"])
    assert [g.name for g in graph.groups] == ["ab.out"]


def test_tied_modules_keep_the_same_channels() -> None:
    model = branches()
    graph = channel_graph(model, image(), tie=[["a.2", "b"]])
    assert groups_of(graph)["a.2.out"] == (
        "6: a.2.weight[0] a.2.bias[0] b.weight[0] b.bias[0] o.weight[1]*2"
    )
    kept = {"a.2.out": [0, 5]}
    small = slim(model, graph.cuts(kept))
    assert torch.equal(small.b.weight, model.b.weight[[0, 5]])
    assert torch.equal(small.a[2].weight, model.a[2].weight[[0, 5]])
    assert torch.equal(small.o.weight, model.o.weight[:, [0, 5, 6, 11]])


def test_whole_modules_stay_as_they_are() -> None:
    graph = channel_graph(branches(), image(), whole=["a"])
    assert [g.name for g in graph.groups] == ["b.out"]
    for name in ("a.0.out", "a.2.out"):
        assert graph.unprunable[name].startswith("is inside a module treated as one")


def test_whole_modules_freeze_what_goes_in() -> None:
    model = net(
        lambda m, x: m.o(m.inner(m.a(x))),
        a=conv(3, 4),
        inner=nn.Sequential(nn.ReLU(), conv(4, 5), conv(5, 6)),
        o=conv(6, 2),
    )
    graph = channel_graph(model, image(), whole=["inner"])
    assert not graph.groups
    assert graph.unprunable.keys() == {"a.out", "inner.1.out", "inner.2.out", "o.out"}


@pytest.mark.parametrize(
    "options",
    [{"ignore": ["head.c"]}, {"whole": ["head.c"]}, {"tie": [["head.c", "b"]]}],
)
def test_unknown_module(options: dict) -> None:
    model = net(
        lambda m, x: m.o(m.b.c(x)), b=nn.ModuleDict({"c": conv(3, 4)}), o=conv(4, 2)
    )
    with pytest.raises(ValueError, match=r"Net has no module 'head.c'.*'b.c'"):
        channel_graph(model, image(), **options)


def test_tied_modules_need_a_weight() -> None:
    with pytest.raises(ValueError, match="'a.1' has no weight that was used"):
        channel_graph(branches(), image(), tie=[["b", "a.1"]])


def test_tied_modules_need_equal_widths() -> None:
    with pytest.raises(ValueError, match=r"they make \[6, 4\] channels"):
        channel_graph(branches(), image(), tie=[["b", "a.0"]])


def test_model_that_does_not_run() -> None:
    with pytest.raises(
        TraceError,
        match=r"(?s)Net does not run on the example inputs in module 'a.0'.*"
        r"RuntimeError.*to have 3 channels.*example_inputs\(model, image_size",
    ):
        trace(branches(), image(5))


def test_trace_leaves_the_model_as_it_was() -> None:
    model = branches().train()
    model.a.eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    hooks = [len(m._forward_hooks) for m in model.modules()]
    recorded = trace(model, image())
    assert [call.name for call in recorded.calls][:3] == [
        "aten::convolution",
        "aten::relu",
        "aten::convolution",
    ]
    assert [call.module for call in recorded.calls][:3] == ["a.0", "a.1", "a.2"]
    assert model.training
    assert not model.a.training
    assert hooks == [len(m._forward_hooks) for m in model.modules()]
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_failed_trace_leaves_the_model_as_it_was() -> None:
    model = branches().train()
    with pytest.raises(TraceError):
        trace(model, image(5))
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    "inputs", [image(), (image(),), {"x": image()}], ids=["tensor", "tuple", "dict"]
)
def test_kinds_of_inputs(inputs: object) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.o = conv(3, 8), conv(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.o(self.a(x))

    check(Plain(), inputs, 1)


def test_kept_channels_are_checked() -> None:
    graph = channel_graph(branches(), image())
    with pytest.raises(ValueError, match=r"There are no groups \['c.out'\]; there are"):
        graph.cuts({"c.out": [0]})
    for wrong in ([], [6], [-1]):
        with pytest.raises(ValueError, match=r"Group 'b.out' has channels 0 to 5, at"):
            graph.cuts({"b.out": wrong})
    with pytest.raises(KeyError, match="No group 'c.out'. Groups: a.0.out"):
        graph["c.out"]


def test_groups_can_be_frozen_later() -> None:
    graph = channel_graph(branches(), image())
    graph.freeze(["b.out", "nowhere.out"], "looks odd")
    assert [g.name for g in graph.groups] == ["a.0.out", "a.2.out"]
    assert graph.unprunable["b.out"] == "looks odd"
    assert "nowhere.out" not in graph.unprunable
    assert graph.sizes()["b.out"] == 6


def test_the_graph_explains_itself() -> None:
    text = str(channel_graph(branches(), image()))
    assert text.splitlines()[0] == "3 groups of channels in Net"
    assert "  a.2.out: 6 channels" in text
    assert "    o.weight[1] in" in text
    assert "1 that cannot be pruned" in text
    assert "  o.out: is an output of the network" in text


def test_roles_of_slots() -> None:
    model = net(
        lambda m, x: m.o(m.p(m.n(m.a(x)) * m.s)),
        a=nn.Linear(4, 8),
        n=nn.BatchNorm1d(5),
        s=nn.Parameter(torch.ones(8)),
        p=nn.LayerNorm(8),
        o=nn.Linear(8, 3),
    )
    (group,) = channel_graph(model, tokens()).groups
    assert {(slot.name, slot.role) for slot in group.slots} == {
        ("a.weight", "out"),
        ("a.bias", "shift"),
        ("s", "other"),
        ("p.weight", "scale"),
        ("p.bias", "shift"),
        ("o.weight", "in"),
    }
    channels = channel_graph(model.n, tokens()).groups
    assert not channels  # the norm over tokens makes none


def test_statistics_have_a_role() -> None:
    model = net(
        lambda m, x: m.o(m.n(m.a(x))),
        a=nn.ConvTranspose2d(3, 8, 1),
        n=nn.BatchNorm2d(8),
        o=conv(8, 2),
    )
    (group,) = channel_graph(model, image()).groups
    roles = {slot.name: (slot.axis, slot.role) for slot in group.slots}
    assert roles["a.weight"] == (1, "out")
    assert roles["n.running_mean"] == (0, "statistic")
    assert roles["n.weight"] == (0, "scale")


def test_rows_of_a_slot_are_what_is_kept() -> None:
    """A kept channel's rows are the values that stay in the small model."""
    model = net(lambda m, x: m.o(m.a(x).flatten(1)), a=conv(3, 4), o=nn.Linear(144, 2))
    graph = channel_graph(model, image())
    kept = random_kept(graph, 3)
    small = slim(model, graph.cuts(kept))
    (group,) = graph.groups
    for slot in group.slots:
        rows = slot.rows(group.tensor(slot))
        path, _, leaf = slot.name.rpartition(".")
        left = getattr(small.get_submodule(path), leaf)
        places = torch.arange(left.shape[slot.axis]).view(len(kept[group.name]), -1)
        new = type(slot)(slot.name, slot.axis, places, slot.role)
        assert torch.equal(rows[kept[group.name]], new.rows(left))


def test_unused_layers_stay_as_they_are() -> None:
    model = net(lambda m, x: m.o(m.a(x)), a=conv(3, 8), o=conv(8, 2), z=conv(8, 8))
    graph = channel_graph(model, image())
    small = slim(model, graph.cuts({"a.out": [0]}))
    assert small.z.weight.shape == (8, 8, 1, 1)
    assert run(small, image()).shape == (2, 2, 6, 6)
