"""Groups known by hand: operations that move elements, or are not known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.core.graph.toys import AB, OUTPUT, Cases, check_groups, conv, tokens

case = Cases()

case(
    "flattened",
    lambda m, x: m.o(m.a(x).flatten(1)),
    {"a.out": "8: a.weight[0] a.bias[0] o.weight[1]*36"},
    a=conv(3, 8),
    o=nn.Linear(288, 4),
)
case(
    "flattened with tokens that are channels too",
    lambda m, x: m.o((m.e.weight[None] + m.a(x).mean(1, keepdim=True)).flatten(1)),
    {"e.out": "8: e.weight[1] a.weight[0] a.bias[0] o.weight[1]*5"},
    inputs=tokens(),
    e=nn.Embedding(5, 8),
    a=nn.Linear(4, 8),
    o=nn.Linear(40, 3),
)
case(
    "mirrored and added",
    lambda m, x: m.o(m.a(x) + m.a(x).flip(1)),
    {"a.out": "4: a.weight[0]*2 a.bias[0]*2 o.weight[1]*2"},
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "rolled in space",
    lambda m, x: m.o(m.a(x).roll(1, 2)),
    {"a.out": f"8: {AB}"},
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "rolled along channels",
    lambda m, x: m.o(m.a(x).roll(1, 1)),
    {},
    {"a.out": "is moved along its channels (aten::roll in the model)", **OUTPUT},
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "channel shuffle",
    lambda m, x: m.o(F.channel_shuffle(m.a(x), 2)),
    {"a.out": "4: a.weight[0]*2 a.bias[0]*2 o.weight[1]*2"},
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "shuffle that no width can follow",
    lambda m, x: m.o(m.b(F.channel_shuffle(m.a(x), 3))),
    {"b.out": "4: b.weight[0]*3 b.bias[0]*3 o.weight[1]*3"},
    {"a.out": "lies along a dim that stays whole", **OUTPUT},
    a=conv(3, 12),
    b=conv(12, 12, groups=3),
    o=conv(12, 4),
)
case(
    "pixel shuffle",
    lambda m, x: m.o(F.pixel_shuffle(m.a(x), 2)),
    {"a.out": "2: a.weight[0]*4 a.bias[0]*4 o.weight[1]"},
    a=conv(3, 8),
    o=conv(2, 4),
)
case(
    "pixel unshuffle",
    lambda m, x: m.o(F.pixel_unshuffle(m.a(x), 2)),
    {"a.out": "4: a.weight[0] a.bias[0] o.weight[1]*4"},
    a=conv(3, 4),
    o=conv(16, 4),
)
case(
    "picked by number",
    lambda m, x: m.o(m.a(x)[:, [3, 1, 2, 0]]),
    {},
    {"a.out": "is picked by number (aten::index in the model)", **OUTPUT},
    a=conv(3, 8),
    o=conv(4, 4),
)
case(
    "selected by number",
    lambda m, x: m.o(m.a(x).index_select(1, torch.arange(4))),
    {},
    {"a.out": "is picked by number (aten::index_select in the model)", **OUTPUT},
    a=conv(3, 8),
    o=conv(4, 4),
)
case(
    "tokens picked by number",
    lambda m, x: m.o(m.a(x)[:, [3, 0, 0]] + m.a(x).index_select(1, torch.arange(3))),
    {"a.out": f"8: {AB}"},
    inputs=tokens(),
    a=nn.Linear(4, 8),
    o=nn.Linear(8, 3),
)
case(
    "tokens gathered by score",
    lambda m, x: m.o(_best(m.a(x))),
    {"a.out": f"8: {AB}"},
    inputs=tokens(),
    a=nn.Linear(4, 8),
    o=nn.Linear(8, 3),
)
case(
    "scattered",
    lambda m, x: m.o(m.a(x).scatter(1, torch.zeros(2, 1, 8).long(), 1.0)),
    {},
    {"a.out": "is scattered (aten::scatter in the model)", **OUTPUT},
    inputs=tokens(),
    a=nn.Linear(4, 8),
    o=nn.Linear(8, 3),
)


def _best(x: Tensor) -> Tensor:
    best = x.norm(dim=-1).topk(2, 1)[1]
    return x.gather(1, best[..., None].expand(-1, -1, x.shape[-1]))


case(
    "no rule",
    lambda m, x: m.o(torch.fft.fft2(m.a(x)).real),
    {},
    {"a.out": "goes into an operation without a rule (aten::_fft_c2c", **OUTPUT},
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "recurrent",
    lambda m, x: m.o(m.l(m.a(x))[0]),
    {},
    {
        "a.out": "goes into an operation without a rule (aten::",
        "l.out": "in 'l')",
        **OUTPUT,
    },
    inputs=tokens(),
    a=nn.Linear(4, 6),
    l=nn.LSTM(6, 5, batch_first=True),
    o=nn.Linear(5, 4),
)
case(
    "several outputs",
    lambda m, x: {"a": m.a(x), "b": [m.o(m.b(x))]},
    {"b.out": "6: b.weight[0] b.bias[0] o.weight[1]"},
    {"a.out": "is an output of the network", **OUTPUT},
    a=conv(3, 8),
    b=conv(3, 6),
    o=conv(6, 4),
)
case(
    "unequal use in a product",
    lambda m, x: m.o(_gram(m.a(x)[:, : m.part])) + m.p(m.a(x)).mean(),
    {
        "a.out": "3: a.weight[0] a.bias[0] p.weight[1]",
        "a.out.2": "5: a.weight[0] a.bias[0] p.weight[1]",
    },
    a=conv(3, 8),
    p=conv(8, 1),
    o=nn.Linear(36, 4),
    part=3,
)


def _gram(x: Tensor) -> Tensor:
    flat = x.flatten(2)
    return flat.mT @ flat


@pytest.mark.parametrize("name", case.names())
def test_groups(name: str) -> None:
    check_groups(case, name)
