"""Groups known by hand: operations on single elements, norms and reductions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.core.graph.toys import (
    AB,
    OUTPUT,
    Cases,
    check_groups,
    conv,
    image,
    parameter,
    tokens,
)

case = Cases()

case(
    "residual",
    lambda m, x: m.o(m.b(m.a(x)) + m.a(x)),
    {"a.out": "8: a.weight[0] a.bias[0] b.weight[0] b.weight[1] b.bias[0] o.weight[1]"},
    a=conv(3, 8),
    b=conv(8, 8),
    o=conv(8, 4),
)
case(
    "broadcast over channels",
    lambda m, x: m.o(m.a(x) * m.g(x).sigmoid()),
    {"a.out": f"8: {AB}"},
    a=conv(3, 8),
    g=conv(3, 1),
    o=conv(8, 4),
)
case(
    "parameters used directly",
    lambda m, x: m.o(m.a(x).mul_(m.s).add_(m.t) ** 2),
    {"a.out": "8: s[0] t[1] a.weight[0] a.bias[0] o.weight[1]"},
    a=conv(3, 8),
    s=parameter(8, 1, 1),
    t=parameter(1, 8, 1, 1),
    o=conv(8, 4),
)
case(
    "meets the image",
    lambda m, x: m.o(m.a(x) + x),
    {},
    {"a.out": "meets a tensor of fixed size (aten::add in the model)", **OUTPUT},
    inputs=image(8),
    a=conv(8, 8),
    o=conv(8, 4),
)
case(
    "slopes",
    lambda m, x: m.o(m.p(m.a(x))),
    {"a.out": "8: a.weight[0] a.bias[0] p.weight[0] o.weight[1]"},
    a=conv(3, 8),
    p=nn.PReLU(8),
    o=conv(8, 4),
)
case(
    "gated linear unit",
    lambda m, x: m.o(F.glu(m.a(x), 1)),
    {"a.out": "4: a.weight[0]*2 a.bias[0]*2 o.weight[1]"},
    a=conv(3, 8),
    o=conv(4, 4),
)
case(
    "larger of two halves",
    lambda m, x: m.o(torch.maximum(*m.a(x).chunk(2, 1))),
    {"a.out": "4: a.weight[0]*2 a.bias[0]*2 o.weight[1]"},
    a=conv(3, 8),
    o=conv(4, 4),
)
case(
    "where",
    lambda m, x: m.o(torch.where(m.a(x) > 0, m.a(x), m.b(x))),
    {"a.out": "8: a.weight[0] a.bias[0] b.weight[0] b.bias[0] o.weight[1]"},
    a=conv(3, 8),
    b=conv(3, 8),
    o=conv(8, 4),
)


REDUCED: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda x: x.sum(1, True),
    "mean of all": lambda x: x.mean((1, 2, 3), True),
    "variance": lambda x: x.var(1, keepdim=True),
    "largest": lambda x: x.amax(1, True),
    "largest, with its place": lambda x: x.max(1, True)[0],
    "least and largest": lambda x: x.aminmax(dim=1, keepdim=True)[0],
    "median": lambda x: x.median(1, True)[0],
    "product": lambda x: x.prod(1, True),
    "norm": lambda x: x.norm(p=1, dim=1, keepdim=True),
    "log of the sum of exponentials": lambda x: x.logsumexp(1, True),
    "count": lambda x: x.sigmoid().count_nonzero(1)[:, None],
    "place of the largest": lambda x: x.argmax(1, True),
}
for name, function in REDUCED.items():
    case(
        f"{name} over channels",
        lambda m, x: m.o(m.a(x) * (m.reduced(m.a(x)) + 0.3)),
        {"a.out": f"8: {AB}"},
        a=conv(3, 8),
        o=conv(8, 4),
        reduced=function,
    )

# what zeros would make infinite, and then nan
POLES: dict[str, Callable[[Tensor], Tensor]] = {
    "logarithm": lambda x: x.abs().log(),
    "reciprocal": lambda x: 1 / x,
    "divided": lambda x: x.exp() / x,
    "root": lambda x: x.abs().rsqrt(),
    "negative power": lambda x: x.abs() ** -0.5,
    "odds": lambda x: x.sigmoid().logit() + x.square().clamp(max=0.5).logit(),
}
for name, function in POLES.items():
    case(
        f"{name} of channels",
        lambda m, x: m.o(m.pole(m.a(x))),
        {"a.out": f"8: {AB}"},
        a=conv(3, 8),
        o=conv(8, 4),
        pole=function,
    )

case(
    "batch norm",
    lambda m, x: m.o(m.n(m.a(x))),
    {
        "a.out": "8: a.weight[0] a.bias[0] n.weight[0] n.bias[0] o.weight[1] "
        "n.running_mean[0] n.running_var[0]"
    },
    a=conv(3, 8),
    n=nn.BatchNorm2d(8),
    o=conv(8, 4),
)
case(
    "statistics of the batch",
    lambda m, x: m.o(m.n(m.a(x))),
    {"a.out": f"8: {AB}"},
    a=conv(3, 8),
    n=nn.BatchNorm2d(8, affine=False, track_running_stats=False),
    o=conv(8, 4),
)
case(
    "norm over channels and space",
    lambda m, x: m.o(m.n(m.a(x))),
    {"a.out": "8: a.weight[0] a.bias[0] n.weight[0] n.bias[0] o.weight[1]"},
    a=conv(3, 8),
    n=nn.LayerNorm([8, 6, 6]),
    o=conv(8, 4),
)
case(
    "group norm",
    lambda m, x: m.o(m.n(m.a(x))),
    {"a.out": "4: a.weight[0]*3 a.bias[0]*3 n.weight[0]*3 n.bias[0]*3 o.weight[1]*3"},
    a=conv(3, 12),
    n=nn.GroupNorm(4, 12),
    o=conv(12, 4),
)
case(
    "group norm meets a grouped convolution",
    lambda m, x: m.o(m.b(m.n(m.a(x)))),
    {
        "a.out": "2: a.weight[0]*6 a.bias[0]*6 n.weight[0]*6 n.bias[0]*6 "
        "b.weight[0]*4 b.bias[0]*4 o.weight[1]*4"
    },
    a=conv(3, 12),
    n=nn.GroupNorm(4, 12),
    b=conv(12, 8, groups=2),
    o=conv(8, 4),
)
case(
    "softmax over channels",
    lambda m, x: m.o(m.a(x).softmax(1)),
    {"a.out": f"8: {AB}"},
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "mean and deviation over channels",
    lambda m, x: m.o(
        (m.a(x) - m.a(x).mean(1, True)) / (m.a(x).std(1, keepdim=True) + 1)
    ),
    {"a.out": f"8: {AB}"},
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "summed away",
    lambda m, x: m.a(x).relu().sum(1),
    {"a.out": "8: a.weight[0] a.bias[0]"},
    {},
    a=conv(3, 8),
)
case(
    "sorted",
    lambda m, x: m.o(m.a(x).sort(1)[0]),
    {},
    {"a.out": "is sorted along its channels (aten::sort in the model)", **OUTPUT},
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "accumulated",
    lambda m, x: m.o(m.a(x).cumsum(1)),
    {},
    {"a.out": "is moved along its channels (aten::cumsum in the model)", **OUTPUT},
    a=conv(3, 8),
    o=conv(8, 4),
)
case(
    "pooled over channels",
    lambda m, x: m.o(F.avg_pool1d(m.a(x), 2)),
    {},
    {"a.out": "lies along space or a kernel (aten::avg_pool2d in the model)", **OUTPUT},
    inputs=tokens(),
    a=nn.Linear(4, 8),
    o=nn.Linear(4, 3),
)
case(
    "sampled",
    lambda m, x: m.o(
        F.grid_sample(m.a(x), m.g(x).permute(0, 2, 3, 1).tanh(), align_corners=False)
    ),
    {"a.out": f"8: {AB}"},
    {"g.out": "lies along space or a kernel (aten::grid_sampler_2d", **OUTPUT},
    a=conv(3, 8),
    g=conv(3, 2),
    o=conv(8, 4),
)
case(
    "unfolded and folded",
    lambda m, x: m.o(F.fold(F.unfold(m.a(x), 2, stride=2), 6, 2, stride=2)),
    {"a.out": f"8: {AB}"},
    a=conv(3, 8),
    o=conv(8, 4),
)


@pytest.mark.parametrize("name", case.names())
def test_groups(name: str) -> None:
    check_groups(case, name)
