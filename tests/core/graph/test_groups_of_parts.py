"""Groups known by hand: concatenations, splits and slices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.core.graph.toys import (
    AB,
    OUTPUT,
    Cases,
    Net,
    check_groups,
    conv,
    tokens,
)

case = Cases()

case(
    "concatenation",
    lambda m, x: m.o(torch.cat([m.a(x), m.b(x)], 1)),
    {
        "a.out": "3: a.weight[0] a.bias[0] o.weight[1]",
        "b.out": "5: b.weight[0] b.bias[0] o.weight[1]",
    },
    a=conv(3, 3),
    b=conv(3, 5),
    o=conv(8, 4),
)
case(
    "concatenation with the image",
    lambda m, x: m.o(torch.cat([m.a(x), x], 1)),
    {"a.out": f"8: {AB}"},
    a=conv(3, 8),
    o=conv(11, 4),
)
case(
    "concatenation across",
    lambda m, x: m.o(torch.cat([m.a(x), m.b(x)], 2)),
    {"a.out": "8: a.weight[0] a.bias[0] b.weight[0] b.bias[0] o.weight[1]"},
    a=conv(3, 8),
    b=conv(3, 8),
    o=conv(8, 4),
)
case(
    "an empty part",
    lambda m, x: m.o(torch.cat([m.a(x)[:, :5] * 2, m.a(x)[:, 5:]], 1)),
    {"a.out": f"8: {AB}"},
    inputs=tokens(length=5),
    a=nn.Linear(4, 8),
    o=nn.Linear(8, 3),
)
case(
    "stack",
    lambda m, x: m.o(torch.stack([m.a(x), m.b(x)]).mean(0)),
    {"a.out": "8: a.weight[0] a.bias[0] b.weight[0] b.bias[0] o.weight[1]"},
    a=conv(3, 8),
    b=conv(3, 8),
    o=conv(8, 4),
)
case(
    "both signs",
    lambda m, x: m.o(torch.cat([m.a(x), -m.a(x)], 1).relu()),
    {"a.out": "8: a.weight[0] a.bias[0] o.weight[1]*2"},
    a=conv(3, 8),
    o=conv(16, 4),
)
case(
    "tiled",
    lambda m, x: m.o(m.a(x).repeat(1, 2, 1, 1)),
    {"a.out": "8: a.weight[0] a.bias[0] o.weight[1]*2"},
    a=conv(3, 8),
    o=conv(16, 4),
)
case(
    "repeated one by one",
    lambda m, x: m.o(m.a(x).repeat_interleave(2, 1)),
    {"a.out": "8: a.weight[0] a.bias[0] o.weight[1]*2"},
    a=conv(3, 8),
    o=conv(16, 4),
)
case(
    "padded with channels",
    lambda m, x: m.o(m.b(m.a(x)) + F.pad(m.a(x), (0, 0, 0, 0, 0, 2))),
    {"a.out": "4: a.weight[0] a.bias[0] b.weight[0] b.weight[1] b.bias[0] o.weight[1]"},
    {"b.out": "is padding (aten::constant_pad_nd in the model)", **OUTPUT},
    a=conv(3, 4),
    b=conv(4, 6),
    o=conv(6, 4),
)
case(
    "unequal split",
    lambda m, x: m.o(m.a(x).split(m.sizes, 1)[1]) + m.p(m.a(x).split(m.sizes, 1)[0]),
    {
        "a.out": "3: a.weight[0] a.bias[0] p.weight[1]",
        "a.out.2": "5: a.weight[0] a.bias[0] o.weight[1]",
    },
    {"o.out": "is an output of the network", "p.out": "is an output of the network"},
    a=conv(3, 8),
    sizes=[3, 5],
    o=conv(5, 4),
    p=conv(3, 4),
)
case(
    "a part that stays, the rest coupled",
    lambda m, x: (m.a(x)[:, :6], m.o(m.a(x)[:, 6:] + m.a(x)[:, 6:].flip(1))),
    {},
    {"a.out": "is an output of the network", **OUTPUT},
    a=conv(3, 8),
    o=conv(2, 4),
)
PICKED = {"a.out": "is picked by number (aten::", **OUTPUT}
case(
    "single channels picked by a slice",
    lambda m, x: m.o(m.a(x)) * m.a(x)[:, 2:3] + m.a(x)[:, :1],
    {"a.out": f"5: {AB}"},
    PICKED,
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "single channels picked",
    lambda m, x: m.o(m.a(x)) * m.a(x)[:, 5, None] + m.a(x)[:, 0, None],
    {"a.out": f"2: {AB}"},
    PICKED,
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "the last channel picked",
    lambda m, x: m.o(m.a(x)) * m.a(x)[:, -1, None] + m.a(x)[:, -1:],
    {},
    PICKED,
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "split into single channels",
    lambda m, x: m.o(m.a(x)) * sum(m.a(x).split(1, 1)),
    {},
    PICKED,
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "taken apart",
    lambda m, x: m.o(torch.stack(m.a(x).unbind(1), 1)),
    {},
    PICKED,
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "one of two halves picked",
    lambda m, x: m.o(m.a(x).view(2, 2, -1, 6, 6)[:, 1]),
    {"a.out": "4: a.weight[0]*2 a.bias[0]*2 o.weight[1]"},
    a=conv(3, 8),
    o=conv(4, 4),
)
case(
    "windows of channels",
    lambda m, x: m.o(m.a(x).unfold(1, 2, 1).sum(-1)),
    {},
    PICKED,
    a=conv(3, 8),
    o=conv(7, 4),
)
case(
    "diagonal",
    lambda m, x: m.o((m.a(x).flatten(2) @ m.a(x).flatten(2).mT).diagonal(0, 1, 2)),
    {},
    PICKED,
    a=conv(3, 8),
    o=nn.Linear(8, 4),
)
case(
    "equal split",
    lambda m, x: m.o(sum(m.a(x).chunk(4, 1))),
    {"a.out": "2: a.weight[0]*4 a.bias[0]*4 o.weight[1]"},
    a=conv(3, 8),
    o=conv(2, 4),
)
case(
    "steps",
    lambda m, x: m.o(m.a(x)[:, ::2] * m.a(x)[:, 1::2]),
    {"a.out": "4: a.weight[0]*2 a.bias[0]*2 o.weight[1]"},
    a=conv(3, 8),
    o=conv(4, 4),
)
case(
    "uneven steps",
    lambda m, x: m.o(m.a(x)[:, ::3]),
    {},
    {"a.out": "is sliced with a step (aten::slice in the model)", **OUTPUT},
    a=conv(3, 8),
    o=conv(3, 4),
)
case(
    "written into zeros",
    lambda m, x: m.o(_filled(m, x)),
    {
        "a.out": "3: a.weight[0] a.bias[0] o.weight[1]*36",
        "b.out": "5: b.weight[0] b.bias[0] o.weight[1]*36",
    },
    a=conv(3, 3),
    b=conv(3, 5),
    o=nn.Linear(288, 4),
)
case(
    "a part overwritten",
    lambda m, x: m.o(_overwritten(m, x)),
    {
        "a.out": "3: a.weight[0] a.bias[0] p.weight[0] p.weight[1] p.bias[0] "
        "o.weight[1]",
        "a.out.2": "5: a.weight[0] a.bias[0] o.weight[1]",
    },
    a=conv(3, 8),
    p=conv(3, 3),
    o=conv(8, 4),
    part=3,
)


def _filled(m: Net, x: Tensor) -> Tensor:
    first = len(m.a.weight)
    maps = x.new_zeros(len(x), first + len(m.b.weight), 6, 6)
    maps[:, :first] = m.a(x)
    maps[:, first:] = m.b(x)
    return maps.flatten(1)


def _overwritten(m: Net, x: Tensor) -> Tensor:
    maps = m.a(x)
    maps[:, : m.part] = m.p(maps[:, : m.part].clone())
    return maps


@pytest.mark.parametrize("name", case.names())
def test_groups(name: str) -> None:
    check_groups(case, name)
