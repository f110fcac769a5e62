"""Pruned toy networks against what plain torch code computes from sliced weights.

Nothing here reads a graph's slots: the expected output is written out by hand, so that
a mistake shared by the graph and by its reference run would show.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrazor.core.graph import channel_graph, slim
from tests.core.graph.toys import Net, conv, image, net, parameter, tokens


def agrees(model: Net, x: Tensor, kept: dict[str, list[int]], expected: Tensor) -> None:
    graph = channel_graph(model, x)
    small = slim(model, graph.cuts(kept)).eval()
    with torch.no_grad():
        dense, pruned = model.eval()(x), small(x)
    torch.testing.assert_close(pruned, expected, rtol=1e-5, atol=1e-5)
    assert (pruned - dense).abs().max() > 1e-2
    assert sum(p.numel() for p in small.parameters()) < sum(
        p.numel() for p in model.parameters()
    )


@torch.no_grad()
def test_convolution_norm_convolution() -> None:
    model = net(
        lambda m, x: m.b(m.n(m.a(x)).relu()),
        a=conv(3, 6, 3),
        n=nn.BatchNorm2d(6),
        b=conv(6, 4, 3),
    )
    x, keep = image(), [1, 3, 4]
    y = F.conv2d(x, model.a.weight[keep], model.a.bias[keep], padding=1)
    n = model.n
    y = F.batch_norm(
        y, n.running_mean[keep], n.running_var[keep], n.weight[keep], n.bias[keep]
    )
    y = F.conv2d(y.relu(), model.b.weight[:, keep], model.b.bias, padding=1)
    agrees(model, x, {"a.out": keep}, y)


@torch.no_grad()
def test_residual_stream() -> None:
    model = net(
        lambda m, x: m.head(m.second(m.first(m.stem(x)).relu()) + m.stem(x)),
        stem=conv(3, 5),
        first=conv(5, 7, 3),
        second=conv(7, 5, 3),
        head=conv(5, 2),
    )
    x, wide, inner = image(), [0, 2, 3], [1, 6]
    stem = F.conv2d(x, model.stem.weight[wide], model.stem.bias[wide])
    y = F.conv2d(
        stem,
        model.first.weight[inner][:, wide],
        model.first.bias[inner],
        padding=1,
    ).relu()
    y = F.conv2d(
        y, model.second.weight[wide][:, inner], model.second.bias[wide], padding=1
    )
    y = F.conv2d(y + stem, model.head.weight[:, wide], model.head.bias)
    agrees(model, x, {"stem.out": wide, "first.out": inner}, y)


@torch.no_grad()
def test_flatten_into_linear() -> None:
    model = net(
        lambda m, x: m.b(m.a(x).relu().flatten(1)), a=conv(3, 4), b=nn.Linear(16, 3)
    )
    x, keep = image(size=2), [0, 3]
    maps = F.conv2d(x, model.a.weight, model.a.bias).relu()
    # channel 0 is columns 0 to 3, channel 3 is columns 12 to 15
    columns = [0, 1, 2, 3, 12, 13, 14, 15]
    y = maps[:, keep].reshape(2, 8) @ model.b.weight[:, columns].T + model.b.bias
    agrees(model, x, {"a.out": keep}, y)


@torch.no_grad()
def test_norm_over_channels() -> None:
    model = net(
        lambda m, x: m.b(m.n(m.a(x))),
        a=nn.Linear(4, 6),
        n=nn.LayerNorm(6),
        b=nn.Linear(6, 3),
    )
    x, keep = tokens(), [0, 1, 5]
    y = (x @ model.a.weight.T + model.a.bias)[..., keep]
    mean = y.mean(-1, keepdim=True)
    variance = ((y - mean) ** 2).mean(-1, keepdim=True)
    y = (y - mean) / (variance + 1e-5).sqrt()
    y = y * model.n.weight[keep] + model.n.bias[keep]
    y = y @ model.b.weight[:, keep].T + model.b.bias
    agrees(model, x, {"a.out": keep}, y)


@torch.no_grad()
def test_group_norm_loses_whole_groups() -> None:
    model = net(
        lambda m, x: m.b(m.n(m.a(x))),
        a=conv(3, 6),
        n=nn.GroupNorm(3, 6),
        b=conv(6, 2),
    )
    x = image()
    maps = F.conv2d(x, model.a.weight, model.a.bias)
    y = torch.zeros(2, 2, 6, 6) + model.b.bias[:, None, None]
    for pair in ([0, 1], [4, 5]):  # groups 0 and 2 of the norm
        part = maps[:, pair]
        mean, std = (
            part.mean((1, 2, 3), keepdim=True),
            (part.var((1, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt(),
        )
        part = (part - mean) / std * model.n.weight[pair][:, None, None]
        part = part + model.n.bias[pair][:, None, None]
        y = y + F.conv2d(part, model.b.weight[:, pair])
    agrees(model, x, {"a.out": [0, 2]}, y)


@torch.no_grad()
def test_grouped_convolution_loses_whole_groups() -> None:
    model = net(
        lambda m, x: m.c(m.b(m.a(x)).relu()),
        a=conv(3, 6),
        b=conv(6, 9, 3, groups=3),
        c=conv(9, 2),
    )
    x = image()
    maps = F.conv2d(x, model.a.weight, model.a.bias)
    y = torch.zeros(2, 2, 6, 6) + model.c.bias[:, None, None]
    for group in (1, 2):
        rows = slice(3 * group, 3 * group + 3)
        part = F.conv2d(
            maps[:, 2 * group : 2 * group + 2],
            model.b.weight[rows],
            model.b.bias[rows],
            padding=1,
        )
        y = y + F.conv2d(part.relu(), model.c.weight[:, rows])
    agrees(model, x, {"a.out": [1, 2]}, y)


@torch.no_grad()
def test_transposed_grouped_convolution() -> None:
    model = net(
        lambda m, x: m.c(m.b(m.a(x))),
        a=conv(3, 4),
        b=nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2),
        c=conv(6, 2),
    )
    x = image()
    maps = F.conv2d(x, model.a.weight, model.a.bias)[:, 2:]
    maps = F.conv_transpose2d(maps, model.b.weight[2:], model.b.bias[3:], stride=2)
    y = F.conv2d(maps, model.c.weight[:, 3:], model.c.bias)
    agrees(model, x, {"a.out": [1]}, y)


@torch.no_grad()
def test_depthwise_with_two_outputs_for_each_input() -> None:
    model = net(
        lambda m, x: m.c(m.b(m.a(x)).relu()),
        a=conv(3, 3),
        b=conv(3, 6, 3, groups=3),
        c=conv(6, 2),
    )
    x, keep, made = image(), [0, 2], [0, 1, 4, 5]
    y = F.conv2d(x, model.a.weight[keep], model.a.bias[keep])
    y = F.conv2d(y, model.b.weight[made], model.b.bias[made], padding=1, groups=2)
    y = F.conv2d(y.relu(), model.c.weight[:, made], model.c.bias)
    agrees(model, x, {"a.out": keep}, y)


def _attention(m: Net, x: Tensor) -> Tensor:
    batch, length, _ = x.shape
    qkv = m.qkv(x).view(batch, length, 3, m.heads, m.width).permute(2, 0, 3, 1, 4)
    y = F.scaled_dot_product_attention(*qkv)
    return m.proj(y.transpose(1, 2).reshape(batch, length, -1))


@torch.no_grad()
def test_attention_loses_whole_heads() -> None:
    model = net(
        _attention,
        qkv=nn.Linear(4, 18),
        proj=nn.Linear(6, 3),
        heads=3,
        width=2,
    )
    x = tokens()
    made = x @ model.qkv.weight.T + model.qkv.bias
    y = torch.zeros(2, 5, 3) + model.proj.bias
    for head in (0, 2):
        q, k, v = (
            made[..., 6 * part + 2 * head : 6 * part + 2 * head + 2]
            for part in range(3)
        )
        weights = (q @ k.transpose(1, 2) / 2**0.5).softmax(-1)
        columns = slice(2 * head, 2 * head + 2)
        y = y + weights @ v @ model.proj.weight[:, columns].T
    agrees(model, x, {"qkv.out": [0, 2]}, y)


@torch.no_grad()
def test_multihead_attention_loses_whole_heads() -> None:
    model = net(
        lambda m, x: m.attention(x, x, x)[0],
        attention=nn.MultiheadAttention(6, 3, batch_first=True),
    )
    x, attention = tokens(6), model.attention
    made = x @ attention.in_proj_weight.T + attention.in_proj_bias
    y = torch.zeros(2, 5, 6) + attention.out_proj.bias
    for head in (1, 2):
        q, k, v = (
            made[..., 6 * part + 2 * head : 6 * part + 2 * head + 2]
            for part in range(3)
        )
        weights = (q @ k.transpose(1, 2) / 2**0.5).softmax(-1)
        columns = slice(2 * head, 2 * head + 2)
        y = y + weights @ v @ attention.out_proj.weight[:, columns].T
    agrees(model, x, {"attention.out": [1, 2]}, y)


@torch.no_grad()
def test_concatenation_and_split() -> None:
    model = net(
        lambda m, x: m.c(torch.cat([m.a(x), m.b(x)], 1)) + m.d(m.b(x)),
        a=conv(3, 3),
        b=conv(3, 4),
        c=conv(7, 2),
        d=conv(4, 2),
    )
    x = image()
    a = F.conv2d(x, model.a.weight[[2]], model.a.bias[[2]])
    b = F.conv2d(x, model.b.weight[[0, 1, 3]], model.b.bias[[0, 1, 3]])
    y = F.conv2d(
        torch.cat([a, b], 1), model.c.weight[:, [2, 3, 4, 6]], model.c.bias
    ) + F.conv2d(b, model.d.weight[:, [0, 1, 3]], model.d.bias)
    agrees(model, x, {"a.out": [2], "b.out": [0, 1, 3]}, y)


@torch.no_grad()
def test_pixel_shuffle() -> None:
    model = net(
        lambda m, x: m.b(F.pixel_shuffle(m.a(x), 2)), a=conv(3, 12), b=conv(3, 2)
    )
    x = image()
    made = [0, 1, 2, 3, 8, 9, 10, 11]  # channels 0 and 2, four places each
    y = F.pixel_shuffle(F.conv2d(x, model.a.weight[made], model.a.bias[made]), 2)
    y = F.conv2d(y, model.b.weight[:, [0, 2]], model.b.bias)
    agrees(model, x, {"a.out": [0, 2]}, y)


@torch.no_grad()
def test_squeeze_and_scale() -> None:
    model = net(
        lambda m, x: (
            m.c(m.a(x) * m.b(m.a(x).mean((2, 3))).sigmoid()[..., None, None]) * m.scale
        ),
        a=conv(3, 5),
        b=nn.Linear(5, 5),
        c=conv(5, 4),
        scale=parameter(4, 1, 1),
    )
    x, keep = image(), [0, 4]
    a = F.conv2d(x, model.a.weight[keep], model.a.bias[keep])
    gate = a.mean((2, 3)) @ model.b.weight[keep][:, keep].T + model.b.bias[keep]
    y = F.conv2d(
        a * gate.sigmoid()[..., None, None], model.c.weight[:, keep], model.c.bias
    )
    agrees(model, x, {"a.out": keep}, y * model.scale)


@torch.no_grad()
def test_unit_length_over_channels() -> None:
    model = net(
        lambda m, x: m.b(F.normalize(m.a(x), dim=1)), a=conv(3, 5), b=conv(5, 2)
    )
    x, keep = image(), [1, 2, 4]
    y = F.conv2d(x, model.a.weight[keep], model.a.bias[keep])
    y = y / (y**2).sum(1, keepdim=True).sqrt()
    agrees(
        model, x, {"a.out": keep}, F.conv2d(y, model.b.weight[:, keep], model.b.bias)
    )


@torch.no_grad()
def test_head_on_two_levels() -> None:
    model = net(
        lambda m, x: torch.cat(
            [m.out(m.tower(level).relu()).flatten(1) for level in (x, x[..., ::2])], 1
        ),
        tower=conv(3, 6, 3),
        out=conv(6, 2),
    )
    x, keep = image(), [0, 5]
    parts = []
    for level in (x, x[..., ::2]):
        y = F.conv2d(level, model.tower.weight[keep], model.tower.bias[keep], padding=1)
        y = F.conv2d(y.relu(), model.out.weight[:, keep], model.out.bias)
        parts.append(y.flatten(1))
    agrees(model, x, {"tower.out": keep}, torch.cat(parts, 1))
