"""Numbers that modules keep are those of the layers they have left."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrazor.core.graph import channel_graph, slim
from tests.core.graph.checking import check, run
from tests.core.graph.toys import Net, conv, image, net, tokens


def cut(model: nn.Module, inputs: Tensor, **kept: list[int]) -> nn.Module:
    """Prune groups ``a='a.out'`` and so on, and run the result."""
    graph = channel_graph(model, inputs)
    cuts = graph.cuts({f"{name}.out": indices for name, indices in kept.items()})
    small = slim(model, cuts)
    run(small, inputs)
    return small


def numbers(module: nn.Module, *names: str) -> list[Any]:
    return [getattr(module, name) for name in names]


def test_convolutions() -> None:
    model = net(
        lambda m, x: m.o(m.c(m.b(m.a(x)))),
        a=conv(3, 6),
        b=conv(6, 12, groups=3),
        c=nn.ConvTranspose2d(12, 4, 1),
        o=conv(4, 2),
    )
    small = cut(model, image(), a=[0, 2], c=[1])
    channels = ("in_channels", "out_channels", "groups")
    assert numbers(small.a, *channels) == [3, 4, 1]
    assert numbers(small.b, *channels) == [4, 8, 2]
    assert numbers(small.c, *channels) == [8, 1, 1]
    assert numbers(small.o, *channels) == [1, 2, 1]


def test_depthwise() -> None:
    model = net(
        lambda m, x: m.o(m.t(m.b(m.a(x)))),
        a=conv(3, 6),
        b=conv(6, 12, 3, groups=6),
        t=nn.ConvTranspose2d(12, 12, 1, groups=12),
        o=conv(12, 2),
    )
    small = cut(model, image(), a=[0, 2, 5])
    assert numbers(small.b, "in_channels", "out_channels", "groups") == [3, 6, 3]
    assert numbers(small.t, "in_channels", "out_channels", "groups") == [6, 6, 6]


def test_linear_and_embedding() -> None:
    model = net(
        lambda m, x: m.o(m.a(x) + m.e.weight),
        a=nn.Linear(4, 8),
        e=nn.Embedding(5, 8),
        o=nn.Linear(8, 3),
    )
    graph = channel_graph(model, tokens())
    (group,) = graph.groups
    small = slim(model, graph.cuts({group.name: [1, 2]}))
    assert numbers(small.a, "in_features", "out_features") == [4, 2]
    assert numbers(small.o, "in_features", "out_features") == [2, 3]
    assert small.e.embedding_dim == 2


@pytest.mark.parametrize(
    ("norm", "name", "value"),
    [
        (nn.BatchNorm2d(12), "num_features", 9),
        (nn.BatchNorm2d(12, affine=False), "num_features", 9),
        (nn.InstanceNorm2d(12, affine=True), "num_features", 9),
        (nn.GroupNorm(4, 12), "num_groups", 3),
        (nn.GroupNorm(4, 12), "num_channels", 9),
        (nn.GroupNorm(1, 12), "num_groups", 1),
        (nn.GroupNorm(12, 12), "num_groups", 9),
        (nn.GroupNorm(4, 12, affine=False), "num_groups", 3),
    ],
    ids=str,
)
def test_norms_of_maps(norm: nn.Module, name: str, value: int) -> None:
    model = net(lambda m, x: m.o(m.n(m.a(x))), a=conv(3, 12), n=norm, o=conv(12, 2))
    graph = channel_graph(model, image())
    units = 3 * graph["a.out"].size // 4
    small = cut(model, image(), a=list(range(units)))
    assert getattr(small.n, name) == value


@pytest.mark.parametrize(
    "norm",
    [
        nn.LayerNorm(8),
        nn.LayerNorm(8, bias=False),
        nn.LayerNorm(8, elementwise_affine=False),
        nn.LayerNorm([5, 8]),
        nn.RMSNorm(8),
    ],
    ids=str,
)
def test_norms_of_tokens(norm: nn.Module) -> None:
    old = norm.normalized_shape
    model = net(
        lambda m, x: m.o(m.n(m.a(x))), a=nn.Linear(4, 8), n=norm, o=nn.Linear(8, 2)
    )
    small = cut(model, tokens(), a=[0, 3, 4])
    assert small.n.normalized_shape == (*old[:-1], 3)
    assert isinstance(small.n.normalized_shape, tuple)


def _heads(m: Net, x: Tensor) -> Tensor:
    batch, length, _ = x.shape
    q = m.a(x).view(batch, length, m.num_heads, m.head_dim).transpose(1, 2)
    y = F.scaled_dot_product_attention(q, q, q).transpose(1, 2)
    return m.o(y.reshape(batch, length, m.inner_dim))


def test_heads() -> None:
    model = net(
        _heads,
        a=nn.Linear(4, 12),
        o=nn.Linear(12, 2),
        num_heads=3,
        head_dim=4,
        inner_dim=12,
        num_layers=3,
        other=7,
        flag=True,
    )
    small = cut(model, tokens(), a=[2])
    assert numbers(small, "num_heads", "head_dim", "inner_dim") == [1, 4, 4]
    # names that never count channels, other numbers, and True, which equals 1
    assert numbers(small, "num_layers", "other", "flag") == [3, 7, True]
    assert numbers(model, "num_heads", "inner_dim") == [3, 12]


@pytest.mark.parametrize("names", [("num_heads", "head_dim"), ("nhead", "width")])
def test_as_many_heads_as_a_head_is_wide(names: tuple[str, str]) -> None:
    heads, width = names

    def attend(m: Net, x: Tensor) -> Tensor:
        shape = (*x.shape[:2], getattr(m, heads), getattr(m, width))
        q = m.a(x).view(shape).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, q, q).transpose(1, 2)
        return m.o(y.flatten(2))

    model = net(attend, a=nn.Linear(4, 9), o=nn.Linear(9, 2), **dict.fromkeys(names, 3))
    small = cut(model, tokens(), a=[1])
    assert numbers(small, *names) == [1, 3]


def test_width_of_heads_that_are_as_many() -> None:
    """The norm's groups have to stay, so that heads lose width."""

    def attend(m: Net, x: Tensor) -> Tensor:
        y = m.a(x).view(*x.shape[:2], m.num_heads, m.head_dim)
        return m.o((y * m.gate(x)[..., None]).flatten(2)) + m.gate(x).sum()

    model = net(
        attend,
        a=nn.Linear(4, 9),
        gate=nn.Linear(4, 3),
        o=nn.Linear(9, 2),
        num_heads=3,
        head_dim=3,
    )
    graph = channel_graph(model, tokens(), ignore=["gate"])
    small = slim(model, graph.cuts({"a.out": [0, 2]}))
    run(small, tokens())
    assert numbers(small, "num_heads", "head_dim") == [3, 2]


def test_parts_in_lists_and_tuples() -> None:
    model = net(
        lambda m, x: m.o(torch.cat(m.a(x).split(m.parts, 1)[::-1], 1)),
        a=conv(3, 8),
        o=conv(8, 2),
        parts=(3, 5),
        widths=[3, 5, 100],
        names=("a", 3),
    )
    graph = channel_graph(model, image())
    small = slim(model, graph.cuts({"a.out": [0, 4, 5]}))
    assert small.parts == (1, 2)
    assert small.widths == [1, 2, 100]
    assert small.names == ("a", 3)


def test_bounds_of_slices() -> None:
    model = net(
        lambda m, x: m.o(m.a(x)[:, m.start :]) + m.p(m.a(x)[:, : m.start]),
        a=conv(3, 8),
        o=conv(5, 2),
        p=conv(3, 2),
        start=3,
    )
    small = cut(model, image(), a=[0, 2])
    assert small.start == 2


class Conv2dLike(nn.Module):
    """A convolution that is none of torch's own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = inputs, outputs
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight)


class ScaleNorm(nn.Module):
    """A norm that is none of torch's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width
        self.normalized_shape = (width,)
        self.weight = nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]


def test_layers_of_other_libraries() -> None:
    model = net(
        lambda m, x: m.o(m.n(m.a(x))),
        a=Conv2dLike(3, 8),
        n=ScaleNorm(8),
        o=Conv2dLike(8, 2),
    )
    small = cut(model, image(), a=[0, 7])
    assert numbers(small.a, "in_channels", "out_channels") == [3, 2]
    assert numbers(small.o, "in_channels", "out_channels") == [2, 2]
    assert numbers(small.n, "num_features", "normalized_shape") == [2, (2,)]


def test_parametrized_layers() -> None:
    model = net(
        lambda m, x: m.o(m.b(m.a(x))),
        a=nn.utils.parametrizations.weight_norm(conv(3, 8)),
        b=nn.utils.parametrizations.spectral_norm(conv(8, 6)),
        o=conv(6, 2),
    )
    small = cut(model, image(), a=[0, 7], b=[1, 2, 3])
    assert numbers(small.a, "in_channels", "out_channels") == [3, 2]
    assert numbers(small.b, "in_channels", "out_channels") == [2, 3]
    assert small.b.weight.shape == (3, 2, 1, 1)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_weights_computed_by_hooks() -> None:
    """A weight that a hook computes is no leaf: a copy takes its value alone."""
    model = net(
        lambda m, x: m.o(m.a(x)),
        a=nn.utils.weight_norm(conv(3, 8)),
        o=conv(8, 2),
    )
    x = image()
    cuts = channel_graph(model, x).cuts({"a.out": [1, 4]})
    model(x).sum().backward()  # leaves a weight with a history
    assert not model.a.weight.is_leaf
    small = slim(model, cuts)
    assert numbers(small.a, "in_channels", "out_channels") == [3, 2]
    assert torch.equal(small.a.weight_v, model.a.weight_v[[1, 4]])
    assert small(x).shape == (2, 2, 6, 6)
    assert small.a.weight.shape == (2, 3, 1, 1)


def test_a_shared_weight_counts_in_both_layers() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    model = net(
        lambda m, x: m.o(m.b(m.a(m.i(x)))),
        i=nn.Linear(4, 4),
        a=first,
        b=second,
        o=nn.Linear(4, 2),
    )
    graph = channel_graph(model, tokens())
    (group,) = graph.groups
    small = slim(model, graph.cuts({group.name: [0, 3]}))
    assert small.b.weight is small.a.weight
    for layer in (small.a, small.b):
        assert numbers(layer, "in_features", "out_features") == [2, 2]
    check(model, tokens(), 1)


def test_numbers_read_from_a_child() -> None:
    class Layer(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embed_dims = width
            self.fc = nn.Linear(4, width)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x)

    model = net(
        lambda m, x: m.o(m.a(x).reshape(2, 5, m.a.embed_dims)),
        a=Layer(8),
        o=nn.Linear(8, 2),
    )
    graph = channel_graph(model, tokens())
    small = slim(model, graph.cuts({"a.fc.out": [0, 1, 2]}))
    assert small.a.embed_dims == 3
    assert run(small, tokens()).shape == (2, 5, 2)
