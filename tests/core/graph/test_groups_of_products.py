"""Groups known by hand: convolutions and matrix products."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.core.graph.toys import (
    AB,
    OUTPUT,
    Cases,
    check_groups,
    conv,
    parameter,
    tokens,
)

case = Cases()

case(
    "chain", lambda m, x: m.o(m.a(x)), {"a.out": f"8: {AB}"}, a=conv(3, 8), o=conv(8, 4)
)
case(
    "shared layer",
    lambda m, x: m.o(m.b(m.b(m.a(x)))),
    {"a.out": "8: a.weight[0] a.bias[0] b.weight[0] b.weight[1] b.bias[0] o.weight[1]"},
    a=conv(3, 8),
    b=conv(8, 8),
    o=conv(8, 4),
)
case(
    "grouped",
    lambda m, x: m.o(m.b(m.a(x))),
    {"a.out": "3: a.weight[0]*2 a.bias[0]*2 b.weight[0]*4 b.bias[0]*4 o.weight[1]*4"},
    a=conv(3, 6),
    b=conv(6, 12, groups=3),
    o=conv(12, 4),
)
case(
    "grouped after a concatenation",
    lambda m, x: m.o(m.b(torch.cat([m.a(x), m.d(x)], 1))),
    {
        # whole groups would be all of a or all of d
        "a.out": "6: a.weight[0] a.bias[0] d.weight[0] d.bias[0] b.weight[1]",
        "b.out": "4: b.weight[0]*2 b.bias[0]*2 o.weight[1]*2",
    },
    a=conv(3, 6),
    d=conv(3, 6),
    b=conv(12, 8, groups=2),
    o=conv(8, 4),
)
case(
    "depthwise",
    lambda m, x: m.o(m.b(m.a(x))),
    {"a.out": "6: a.weight[0] a.bias[0] b.weight[0] b.bias[0] o.weight[1]"},
    a=conv(3, 6),
    b=conv(6, 6, 3, groups=6),
    o=conv(6, 4),
)
case(
    "transposed",
    lambda m, x: m.o(m.b(m.a(x))),
    {
        "a.out": "6: a.weight[0] a.bias[0] b.weight[0]",
        "b.out": "5: b.weight[1] b.bias[0] o.weight[1]",
    },
    a=conv(3, 6),
    b=nn.ConvTranspose2d(6, 5, 2),
    o=conv(5, 4),
)
case(
    "batch of channels",
    lambda m, x: m.o(m.c(m.a(x).reshape(-1, 1, 6, 6)).reshape(2, -1, 6, 6)),
    {"a.out": f"8: {AB}"},
    a=conv(3, 8),
    c=conv(1, 1, 3),
    o=conv(8, 4),
)
case(
    "channels in space",
    lambda m, x: m.o(m.c(m.a(x).mean(3)[:, None])[:, 0, :, :, None]),
    {},
    {"a.out": "lies along space or a kernel (aten::convolution in 'c')", **OUTPUT},
    a=conv(3, 8),
    c=conv(1, 1, 3),
    o=conv(8, 4),
)
case(
    "matrix product with a parameter",
    lambda m, x: m.o(m.a(x) @ m.v),
    {"a.out": "8: v[0] a.weight[0] a.bias[0]"},
    inputs=tokens(),
    a=nn.Linear(4, 8),
    v=parameter(8, 6),
    o=nn.Linear(6, 3),
)
case(
    "einsum",
    lambda m, x: m.o(torch.einsum("btc,bsc->bts", m.a(x), m.b(x))),
    {"a.out": "6: a.weight[0] a.bias[0] b.weight[0] b.bias[0]"},
    inputs=tokens(),
    a=nn.Linear(4, 6),
    b=nn.Linear(4, 6),
    o=nn.Linear(5, 3),
)
case(
    "embedding",
    lambda m, x: m.o(m.e(x) + m.p.weight[:3]),
    {"e.out": "6: e.weight[1] p.weight[1] o.weight[1]"},
    inputs=torch.tensor([[0, 1, 2], [5, 5, 1]]),
    e=nn.Embedding(10, 6),
    p=nn.Embedding(5, 6),
    o=nn.Linear(6, 3),
)
case(
    "words are no channels",
    lambda m, x: m.a(m.e(x)) @ m.e.weight.T,
    {"e.out": "6: e.weight[1] a.weight[0] a.weight[1] a.bias[0]"},
    {},
    inputs=torch.tensor([[0, 1, 2], [5, 5, 1]]),
    e=nn.Embedding(10, 6),
    a=nn.Linear(6, 6),
)
case(
    "standardised weight",
    lambda m, x: m.o(
        F.conv2d(
            m.a(x),
            F.batch_norm(
                m.w.weight.view(1, len(m.w.weight), -1), None, None, training=True
            ).view_as(m.w.weight),
        )
    ),
    {
        "a.out": "8: a.weight[0] a.bias[0] w.weight[1]",
        "w.out": "6: w.weight[0] o.weight[1]",
    },
    a=conv(3, 8),
    w=conv(8, 6, 3, bias=False),
    o=conv(6, 4),
)
case(
    "weight norm",
    lambda m, x: m.o(m.b(m.a(x))),
    {
        "a.out": "8: a.bias[0] a.parametrizations.weight.original0[0] "
        "a.parametrizations.weight.original1[0] b.parametrizations.weight.original1[1]",
        "b.out": "6: b.bias[0] b.parametrizations.weight.original0[0] "
        "b.parametrizations.weight.original1[0] o.weight[1]",
    },
    a=nn.utils.parametrizations.weight_norm(conv(3, 8, 3)),
    b=nn.utils.parametrizations.weight_norm(conv(8, 6)),
    o=conv(6, 4),
)
case(
    "spectral norm",
    lambda m, x: m.o(m.b(m.a(x))),
    {
        "a.out": "8: a.weight[0] a.bias[0] b.parametrizations.weight.original[1] "
        "b.parametrizations.weight.0._v[0]*9",
        "b.out": "6: b.bias[0] b.parametrizations.weight.original[0] o.weight[1] "
        "b.parametrizations.weight.0._u[0]",
    },
    a=conv(3, 8),
    b=nn.utils.parametrizations.spectral_norm(conv(8, 6, 3)),
    o=conv(6, 4),
)


@pytest.mark.parametrize("name", case.names())
def test_groups(name: str) -> None:
    check_groups(case, name)
