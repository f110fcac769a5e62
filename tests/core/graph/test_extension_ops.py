"""Operators of torchvision and mmcv that are no ATen operations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision.ops
from torch import Tensor, nn

from mmrazor.core.extension_ops import extension_calls
from mmrazor.core.graph.build import graph_of_trace
from mmrazor.core.graph.trace import OpCall, OpTrace, trace
from tests.core.graph.toys import (
    OUTPUT,
    Cases,
    Net,
    check_groups,
    conv,
    groups_of,
    image,
    net,
)

mmcv_ops: Any = None
try:
    import mmcv._ext
    import mmcv.ops as mmcv_ops
except ImportError:
    pass
needs_mmcv = pytest.mark.skipif(mmcv_ops is None, reason="mmcv has no operators here")

REGIONS = torch.tensor([[0, 0, 0, 5, 5], [1, 1, 1, 4, 4], [0, 2, 2, 5, 5]])
LOOKS = "says where a deformable convolution looks"
AD = "a.weight[0] a.bias[0] d.weight[1]"
case = Cases()


def _pooled(m: Net, x: Tensor) -> Tensor:
    return m.o(m.pool(m.a(x), REGIONS.to(x.dtype), 3))


for name in ("roi_align", "roi_pool"):
    case(
        f"torchvision {name}",
        _pooled,
        {"a.out": "8: a.weight[0] a.bias[0] o.weight[1]"},
        a=conv(3, 8),
        pool=getattr(torchvision.ops, name),
        o=conv(8, 4),
    )
case(
    "torchvision without a rule",
    _pooled,
    {},
    {"a.out": "without a rule (torchvision::ps_roi_align in the model)", **OUTPUT},
    a=conv(3, 9),
    pool=torchvision.ops.ps_roi_align,
    o=conv(1, 4),
)


def _deformed(m: Net, x: Tensor) -> Tensor:
    mask = m.mask(x).sigmoid() if hasattr(m, "mask") else None
    return m.o(m.d(m.a(x), m.offset(x), mask))


case(
    "torchvision deformable",
    _deformed,
    {"a.out": f"8: {AD}", "d.out": "6: d.weight[0] d.bias[0] o.weight[1]"},
    {"offset.out": f"{LOOKS} (torchvision::deform_conv2d in 'd')", **OUTPUT},
    a=conv(3, 8),
    offset=conv(3, 18),
    d=torchvision.ops.DeformConv2d(8, 6, 3, padding=1),
    o=conv(6, 4),
)
case(
    "torchvision deformable with a mask, without bias",
    _deformed,
    {"a.out": f"8: {AD}", "d.out": "6: d.weight[0] o.weight[1]"},
    {"offset.out": LOOKS, "mask.out": LOOKS, **OUTPUT},
    a=conv(3, 8),
    offset=conv(3, 18),
    mask=conv(3, 9),
    d=torchvision.ops.DeformConv2d(8, 6, 3, padding=1, bias=False),
    o=conv(6, 4),
)
case(
    "torchvision deformable in groups",
    _deformed,
    {"a.out": "2: a.weight[0]*4 a.bias[0]*4 d.weight[0]*3 d.bias[0]*3 o.weight[1]*3"},
    {"offset.out": LOOKS, **OUTPUT},
    a=conv(3, 8),
    offset=conv(3, 18),
    d=torchvision.ops.DeformConv2d(8, 6, 3, padding=1, groups=2),
    o=conv(6, 4),
)
case(
    "torchvision deformable with two sets of offsets",
    _deformed,
    {
        "a.out": "4: a.weight[0]*2 a.bias[0]*2 d.weight[1]*2",
        "d.out": "6: d.weight[0] d.bias[0] o.weight[1]",
    },
    {"offset.out": LOOKS, **OUTPUT},
    a=conv(3, 8),
    offset=conv(3, 36),
    d=torchvision.ops.DeformConv2d(8, 6, 3, padding=1),
    o=conv(6, 4),
)


@pytest.mark.parametrize("name", case.names())
def test_torchvision(name: str) -> None:
    check_groups(case, name)


mmcv_case = Cases()
if mmcv_ops is not None:
    mmcv_case(
        "regions",
        lambda m, x: m.o(m.pool(m.a(x), REGIONS.to(x.dtype))),
        {"a.out": "8: a.weight[0] a.bias[0] o.weight[1]"},
        a=conv(3, 8),
        pool=mmcv_ops.RoIAlign(3, 1.0),
        o=conv(8, 4),
    )
    for kind, operator, bias in (
        ("deform_conv_forward", mmcv_ops.DeformConv2dPack, ""),
        (
            "modulated_deform_conv_forward",
            mmcv_ops.ModulatedDeformConv2dPack,
            "d.bias[0] ",
        ),
    ):
        mmcv_case(
            kind,
            lambda m, x: m.o(m.d(m.a(x))),
            {
                "a.out": f"8: {AD} d.conv_offset.weight[1]",
                "d.out": f"6: d.weight[0] {bias}o.weight[1]",
            },
            {"d.conv_offset.out": f"{LOOKS} (mmcv::{kind} in 'd')", **OUTPUT},
            a=conv(3, 8),
            d=operator(8, 6, 3, padding=1),
            o=conv(6, 4),
        )
        mmcv_case(
            f"{kind} in groups",
            lambda m, x: m.o(m.d(m.a(x))),
            {
                "a.out": "2: a.weight[0]*4 a.bias[0]*4 d.weight[0]*3 "
                f"{bias and 'd.bias[0]*3 '}d.conv_offset.weight[1]*4 o.weight[1]*3",
            },
            {"d.conv_offset.out": LOOKS, **OUTPUT},
            a=conv(3, 8),
            d=operator(8, 6, 3, padding=1, groups=2),
            o=conv(6, 4),
        )
        mmcv_case(
            f"{kind} with four sets of offsets",
            lambda m, x: m.o(m.d(m.a(x))),
            {
                "a.out": "2: a.weight[0]*4 a.bias[0]*4 d.weight[1]*4 "
                "d.conv_offset.weight[1]*4",
                "d.out": f"6: d.weight[0] {bias}o.weight[1]",
            },
            {"d.conv_offset.out": LOOKS, **OUTPUT},
            a=conv(3, 8),
            d=operator(8, 6, 3, padding=1, deform_groups=4),
            o=conv(6, 4),
        )

    def _attended(m: Net, x: Tensor) -> Tensor:
        tokens = m.a(x.flatten(2).mT)
        places = torch.linspace(0, 1, 36).view(1, 36, 1, 1).expand(2, 36, 1, 2)
        return m.o(
            m.d(
                tokens,
                value=tokens,
                reference_points=places.to(x.dtype),
                spatial_shapes=torch.tensor([[6, 6]]),
                level_start_index=torch.tensor([0]),
            )
        )

    mmcv_case(
        "deformable attention in Python",
        _attended,
        {
            "a.out": "8: a.weight[0] a.bias[0] d.sampling_offsets.weight[1] "
            "d.attention_weights.weight[1] d.value_proj.weight[1] "
            "d.output_proj.weight[0] d.output_proj.bias[0] o.weight[1]",
            # heads have points of their own, which go with them
            "d.sampling_offsets.out": "2: d.sampling_offsets.weight[0]*4 "
            "d.sampling_offsets.bias[0]*4 d.attention_weights.weight[0]*2 "
            "d.attention_weights.bias[0]*2 d.value_proj.weight[0]*4 "
            "d.value_proj.bias[0]*4 d.output_proj.weight[1]*4",
        },
        OUTPUT,
        a=nn.Linear(3, 8),
        d=mmcv_ops.MultiScaleDeformableAttention(
            8, num_heads=2, num_levels=1, num_points=2, batch_first=True, dropout=0.0
        ),
        o=nn.Linear(8, 4),
    )


@needs_mmcv
@pytest.mark.parametrize("name", mmcv_case.names())
def test_mmcv(name: str) -> None:
    check_groups(mmcv_case, name)


@needs_mmcv
def test_calls_are_seen_without_their_insides() -> None:
    layer = mmcv_ops.DeformConv2dPack(4, 6, 3, padding=1)
    names = [call.name for call in trace(layer, image(4)).calls]
    assert names[-1] == "mmcv::deform_conv_forward"
    assert "aten::addmm" not in names


@needs_mmcv
def test_functions_are_put_back() -> None:
    before = mmcv._ext.roi_align_forward
    with extension_calls(lambda *_: None):
        assert mmcv._ext.roi_align_forward is not before
    assert mmcv._ext.roi_align_forward is before


# Operators without a CPU kernel: the rule alone, on a call made by hand -------------


def by_hand(model: Net, *made: tuple[nn.Module, Tensor], call: Any, reader: Any) -> Any:
    """Return the graph of layers, then a call of their results, then a layer.

    Args:
        model: Holds all layers.
        *made: Layers and what they are called with.
        call: From the layers' results to the call.
        reader: From the model and the call to what runs on its result.
    """
    results, calls = [], []
    for layer, x in made:
        one = trace(layer, x)
        calls += one.calls
        results.append(one.output)
    operation = call(*results)
    rest = trace(model.o, reader(operation))
    return graph_of_trace(model, OpTrace([*calls, operation, *rest.calls], rest.output))


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(
    ("kernel_groups", "groups"),
    [
        (1, {"a.out": "8: a.weight[0] a.bias[0] o.weight[1]"}),
        (2, {"a.out": "4: a.weight[0]*2 a.bias[0]*2 o.weight[1]*2"}),
    ],
)
@pytest.mark.parametrize("naive", [True, False])
def test_carafe(
    naive: bool, kernel_groups: int, groups: dict[str, str], scale: int
) -> None:
    model = net(
        lambda m, x: x, a=conv(3, 8), k=conv(3, 9 * kernel_groups), o=conv(8, 4)
    )
    x = image()
    large = image(size=6 * scale)

    def call(features: Tensor, masks: Tensor) -> OpCall:
        output = features.new_zeros(2, 8, 6 * scale, 6 * scale)
        buffers = (torch.zeros_like(features), output.clone(), torch.zeros_like(masks))
        args = (features, masks, *(() if naive else buffers), output)
        options = dict(kernel_size=3, group_size=kernel_groups, scale_factor=scale)
        name = "mmcv::carafe_naive_forward" if naive else "mmcv::carafe_forward"
        return OpCall(name, args, options, None, "up")

    graph = by_hand(
        model,
        (model.a, x),
        (model.k, large),
        call=call,
        reader=lambda operation: operation.args[-1],
    )
    assert groups_of(graph) == groups
    assert graph.unprunable["k.out"].startswith("holds the kernels of CARAFE")
    assert graph.unprunable["o.out"] == "is an output of the network"


def test_deformable_attention_on_a_device() -> None:
    """One call computes all, and says nothing of the points that heads look at."""
    heads, width, levels, points, length, queries = 2, 3, 1, 4, 9, 5
    model = net(
        lambda m, x: x,
        v=nn.Linear(4, heads * width),
        w=nn.Linear(4, heads * levels * points),
        l=nn.Linear(4, heads * levels * points * 2),
        o=nn.Linear(heads * width, 2),
    )
    value = net(lambda m, x: m.v(x).view(1, length, heads, width), v=model.v)
    weights = net(
        lambda m, x: (
            m.w(x)
            .view(1, queries, heads, levels * points)
            .softmax(-1)
            .view(1, queries, heads, levels, points)
        ),
        w=model.w,
    )
    locations = net(
        lambda m, x: m.l(x).view(1, queries, heads, levels, points, 2), l=model.l
    )

    def call(v: Tensor, places: Tensor, w: Tensor) -> OpCall:
        shapes = torch.tensor([[3, 3]])
        result = torch.zeros(1, queries, heads * width)
        args = (v, shapes, shapes[0, :1], places, w)
        return OpCall("mmcv::ms_deform_attn_forward", args, {}, result, "d")

    graph = by_hand(
        model,
        (value, torch.randn(1, length, 4)),
        (locations, torch.randn(1, queries, 4)),
        (weights, torch.randn(1, queries, 4)),
        call=call,
        reader=lambda operation: operation.result,
    )
    # whole heads: every point of a head goes with it
    assert groups_of(graph) == {
        "v.out": "2: v.weight[0]*3 v.bias[0]*3 w.weight[0]*4 w.bias[0]*4 "
        "l.weight[0]*8 l.bias[0]*8 o.weight[1]*3"
    }
    assert graph.unprunable == OUTPUT


def test_suppression_picks_by_value() -> None:
    model = net(
        lambda m, x: x[torchvision.ops.nms(x, m.score(m.a(x))[:, 0], 0.5)],
        a=nn.Linear(4, 8),
        score=nn.Linear(8, 1),
    )
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [3, 3, 5, 5]])
    recorded = trace(model, boxes)
    graph = graph_of_trace(model, recorded)
    assert groups_of(graph) == {"a.out": "8: a.weight[0] a.bias[0] score.weight[1]"}


def test_an_operator_of_mmcv_without_a_rule() -> None:
    model = net(lambda m, x: x, a=conv(3, 8), o=conv(8, 4))

    def call(features: Tensor) -> OpCall:
        output = torch.zeros_like(features)
        return OpCall("mmcv::unheard_of", (features, output), {}, None, "x")

    graph = by_hand(
        model, (model.a, image()), call=call, reader=lambda operation: operation.args[1]
    )
    assert not graph.groups
    assert graph.unprunable["a.out"] == (
        "goes into an operation without a rule (mmcv::unheard_of in 'x')"
    )
