from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmrazor.core.cost import CostTable, count_cost
from mmrazor.core.graph import channel_graph, example_inputs
from mmrazor.models.architectures import build_architecture
from tests.tiny_models import TINY


class Toy(nn.Module):
    """Every count below is done by hand, for an input of 2 x 3 x 8 x 8."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)  # 2 * 8*8 * 4 * 3*9 = 13824
        self.norm = nn.BatchNorm2d(4)  # free
        self.grouped = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=2, bias=False)
        # 2 * 4*4 * 4 * (4/2)*9 = 2304
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)  # 2 * 4*4 * 4 * 2*4 = 1024
        self.head = nn.Linear(2, 5)  # shared: twice 2 * 2 * 5 = 20

    def forward(self, x):
        x = self.up(self.grouped(self.norm(self.conv(x)).relu()))
        x = x.mean((2, 3))
        return self.head(x) + self.head(2 * x)


MACS = {"conv": 13824, "norm": 0, "grouped": 2304, "up": 1024, "head": 40}
PARAMS = {
    "conv": 4 * 3 * 9 + 4,
    "norm": 8,
    "grouped": 4 * 2 * 9,
    "up": 4 * 2 * 4 + 2,
    "head": 15,
}


def test_counts_of_the_toy_net() -> None:
    cost = count_cost(Toy(), torch.randn(2, 3, 8, 8))
    modules = cost.by_module()
    assert {name: modules[name].macs for name in MACS} == MACS
    assert {name: modules[name].params for name in MACS} == PARAMS
    assert cost.macs == modules[""].macs == sum(MACS.values())
    assert cost.params == modules[""].params == sum(PARAMS.values())
    assert cost.uncounted == {}


@pytest.mark.parametrize(
    "inputs",
    [torch.zeros(4, 3), (torch.zeros(4, 3),), {"input": torch.zeros(4, 3)}],
    ids=["tensor", "tuple", "dict"],
)
def test_kinds_of_inputs(inputs) -> None:
    assert count_cost(nn.Linear(3, 2), inputs).macs == 24


def test_parents_sum_up_their_children() -> None:
    inner = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    modules = count_cost(nn.Sequential(inner, nn.Linear(1, 1)), torch.zeros(1, 2))
    macs = {name: cost.macs for name, cost in modules.by_module().items()}
    assert macs == {"": 10, "0": 9, "0.0": 6, "0.1": 3, "1": 1}


def test_call_past_the_hooks_is_counted_for_its_parent() -> None:
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Sequential(nn.Linear(2, 2))

        def forward(self, x):
            return self.head.forward(x)  # as mmdet and mmseg call their heads

    assert count_cost(Direct(), torch.zeros(1, 2)).by_module()["head"].macs == 4


def test_shared_parameters_count_once() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    cost = count_cost(model, torch.zeros(1, 3))
    assert (cost.params, cost.macs) == (9, 18)


def test_attention_by_hand() -> None:
    tokens, width = 5, 8
    layer = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True)
    cost = count_cost(layer, torch.zeros(1, tokens, width))
    projections = tokens * width * width * 4  # query, key, value, output
    maps = 2 * tokens * tokens * width  # scores, and their use on the values
    feed_forward = 2 * tokens * width * 16
    assert cost.macs == projections + maps + feed_forward
    assert cost.uncounted == {}


def test_model_is_left_as_it_was() -> None:
    model = Toy().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count_cost(model, torch.randn(2, 3, 8, 8))
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_hooks_go_after_an_error() -> None:
    model = Toy()
    with pytest.raises(RuntimeError):
        count_cost(model, torch.randn(2, 5, 8, 8))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_operations_without_a_formula_are_listed() -> None:
    class Odd(nn.Module):
        def forward(self, x):
            return torch.linalg.inv(x) + torch.fft.fft(x).real

    cost = count_cost(Odd(), torch.eye(3))
    assert cost.macs == 0
    assert any("linalg_inv" in name for name in cost.uncounted)
    assert any("fft" in name for name in cost.uncounted)


def test_lstm_is_not_passed_over() -> None:
    cost = count_cost(nn.LSTM(3, 4), torch.zeros(2, 1, 3))
    # 2 steps, 4 gates of 4 values, from 3 inputs and 4 states.
    assert cost.macs == 2 * 4 * 4 * (3 + 4) or cost.uncounted


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vit_b_16", "swin_t"])
def test_equals_the_counter_of_torch(name: str) -> None:
    model = torchvision.models.get_model(name).eval()
    inputs = torch.randn(1, 3, 224, 224)
    # Fused, attention would be one operation that torch's counter passes over.
    unfused = sdpa_kernel(SDPBackend.MATH)
    with unfused, FlopCounterMode(display=False) as counter:
        model(inputs)
    cost = count_cost(model, inputs)
    assert cost.macs * 2 == counter.get_total_flops()
    assert cost.uncounted == {}


def test_published_cost_of_resnet18() -> None:
    # He et al., 2016: 1.8 G multiply-adds; torchvision's table: 11689512 parameters.
    cost = count_cost(torchvision.models.resnet18(), torch.zeros(1, 3, 224, 224))
    assert cost.params == 11689512
    assert cost.macs == 1814073344


@pytest.mark.parametrize("scope", TINY)
def test_hosts_are_counted_completely(scope: str) -> None:
    model = build_architecture(TINY[scope]())
    cost = count_cost(model, example_inputs(model, (64, 64)))
    assert cost.macs > 0
    assert cost.uncounted == {}
    modules = cost.by_module()
    children = [modules[name].macs for name, _ in model.named_children()]
    assert sum(children) == cost.macs


def test_compiled_operators_of_mmcv_are_listed() -> None:
    ops = pytest.importorskip("mmcv.ops")
    layer = ops.RoIAlign((2, 2))
    rois = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
    cost = count_cost(layer, (torch.zeros(1, 3, 8, 8), rois))
    assert cost.uncounted == {"mmcv.ops.RoIAlign": 1}


def test_deformable_convolutions_count_as_convolutions() -> None:
    ops = pytest.importorskip("mmcv.ops")
    layer = ops.ModulatedDeformConv2dPack(8, 6, 3, padding=1, groups=2)
    cost = count_cost(layer, torch.zeros(2, 8, 4, 4))
    # 27 offsets and masks for each of 2 * 16 places, then 6 outputs of 4 inputs each
    assert cost.macs == 32 * 27 * 8 * 9 + 32 * 6 * 4 * 9
    assert cost.uncounted == {}


def test_products_in_place_are_counted() -> None:
    class InPlace(nn.Module):
        def forward(self, x):
            return torch.zeros(3, 5).addmm_(x, torch.ones(4, 5)).t_()

    cost = count_cost(InPlace(), torch.zeros(3, 4))
    assert cost.macs == 3 * 4 * 5
    assert cost.uncounted == {}


class ByFunction(nn.Module):
    """Calls compiled functions of mmcv itself, not through mmcv's modules."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.weight = nn.Parameter(torch.rand(6, 2, 3, 3))
        self.head = nn.Conv2d(6, 2, 1)
        self.masked = False

    def forward(self, x):
        ops = pytest.importorskip("mmcv.ops")
        x = self.stem(x)
        offset = x.new_zeros(len(x), 18, 4, 4)
        if self.masked:
            mask = x.new_ones(len(x), 9, 4, 4)
            x = ops.modulated_deform_conv2d(
                x, offset, mask, self.weight, None, 1, 1, 1, 2, 1
            )
        else:
            x = ops.deform_conv2d(x, offset, self.weight, 1, 1, 1, 2, 1)
        return self.head(x)


@pytest.mark.parametrize("masked", [False, True])
def test_functions_of_mmcv_that_convolve_are_counted(masked: bool) -> None:
    pytest.importorskip("mmcv.ops")
    model, x = ByFunction(), torch.rand(2, 3, 4, 4)
    model.masked = masked
    cost = count_cost(model, x)
    assert cost.macs == 32 * (3 * 4 + 6 * 2 * 9 + 6 * 2)
    assert cost.uncounted == {}
    graph = channel_graph(model, x)
    table = CostTable.of(graph.sizes(), *graph.products())
    assert table.dense.macs == count_cost(model, x, graph.recorded).macs == cost.macs


def test_other_functions_of_mmcv_are_listed() -> None:
    ops = pytest.importorskip("mmcv.ops")

    class Pools(nn.Module):
        def forward(self, x):
            rois = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
            kept = ops.nms(rois[:, 1:], torch.ones(1), 0.5)[1]
            return ops.roi_align(x, rois[kept], 2, 1.0, 0, "avg", True)

    cost = count_cost(Pools(), torch.zeros(1, 3, 8, 8))
    assert cost.uncounted == {"mmcv.roi_align_forward": 1}
