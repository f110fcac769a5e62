"""Equalization: nothing changes but the ranges, which are equal afterwards."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from mmrazor.models.quantizers import CrossLayerEqualization, calibrate_
from mmrazor.models.quantizers.flow import flow_of
from mmrazor.models.quantizers.methods import equalization
from mmrazor.models.quantizers.methods.equalization import equalize_, scales
from mmrazor.models.quantizers.methods.pairs import pairs_of
from mmrazor.registry import MODELS
from tests.models.quantizers.methods.toys import distance, quantized, toy


@pytest.fixture
def texts(monkeypatch):
    found = []
    monkeypatch.setattr(equalization, "print_log", lambda text, **_: found.append(text))
    return found


def with_odd_ranges(net):
    """Give every channel of every weight a range of its own."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            rows = torch.randn(len(parameter)).mul(2).exp()
            parameter.mul_(rows.view(-1, *[1] * (parameter.dim() - 1)))
    return net.double().eval()


def names(net, given):
    pairs, clamps = pairs_of(net, flow_of(net, given))
    found = [(pair.first.weight, pair.second.weight) for pair in pairs]
    return found, [f"{call.site}" for call in clamps]


NETS = {
    "linear": nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)),
    "identity": nn.Sequential(nn.Linear(4, 6), nn.Dropout(), nn.Linear(6, 3)),
    "triple": nn.Sequential(
        nn.Conv2d(4, 6, 1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1, groups=6),
        nn.LeakyReLU(),
        nn.Conv2d(6, 3, 1, bias=False),
    ),
    "groups": nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1, groups=2),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 9, 3, padding=1, groups=3),
        nn.ReLU(),
        nn.ConvTranspose2d(9, 6, 2, 2, groups=3),
        nn.ReLU(),
        nn.Conv2d(6, 2, 1),
    ),
    "flatten": nn.Sequential(
        nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(54, 3)
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_the_function_stays_and_the_ranges_are_equal(name):
    net = with_odd_ranges(copy.deepcopy(NETS[name]))
    shape = (2, 4, 8, 8) if isinstance(net[0], nn.Conv2d) else (2, 4)
    given = torch.randn(shape, dtype=torch.double)
    other = copy.deepcopy(net)
    pairs, _ = pairs_of(other, flow_of(other, given))
    assert len(pairs) == sum(p.dim() > 1 for p in net.parameters()) - 1
    equalize_(other, pairs, 1e-9)
    with torch.no_grad():
        assert torch.allclose(other(given), net(given), rtol=1e-9)
    before = {name: p.detach() for name, p in net.named_parameters()}
    for pair in pairs:
        ends = []
        for parameters in (before, dict(other.named_parameters())):
            first, second = (
                parameters[name].detach()
                for name in (pair.first.weight, pair.second.weight)
            )
            ends.append((out_ranges(first, net, pair), in_ranges(second, net, pair)))
        assert not torch.allclose(*ends[0], rtol=0.5)
        assert torch.allclose(*ends[1], rtol=1e-6)


def layer_of(net, factor):
    return net.get_submodule(factor.weight.rpartition(".")[0])


def out_ranges(weight, net, pair):
    """Return the largest weight of each output, by a loop."""
    layer, found = layer_of(net, pair.first), []
    for channel in range(pair.channels):
        if isinstance(layer, nn.ConvTranspose2d):
            each = pair.channels // layer.groups
            group, place = divmod(channel, each)
            rows = weight.shape[0] // layer.groups
            part = weight[group * rows : (group + 1) * rows, place]
        else:
            part = weight[channel]
        found.append(part.abs().max())
    return torch.stack(found)


def in_ranges(weight, net, pair):
    """Return the largest weight that each channel is multiplied with, by a loop."""
    layer, found = layer_of(net, pair.second), []
    for channel in range(pair.channels):
        if isinstance(layer, nn.ConvTranspose2d):
            part = weight[channel]
        elif isinstance(layer, nn.Linear):
            each = weight.shape[1] // pair.channels
            part = weight[:, channel * each : (channel + 1) * each]
        else:
            group, place = divmod(channel, weight.shape[1])
            rows = weight.shape[0] // layer.groups
            part = weight[group * rows : (group + 1) * rows, place]
        found.append(part.abs().max())
    return torch.stack(found)


def test_scales_are_the_formula_of_the_paper():
    first, second = torch.rand(5) + 0.1, torch.rand(5) + 0.1
    expected = (first * second).sqrt() / second
    assert torch.allclose(scales(first, second), expected)
    first[0], second[1] = 0, 0
    assert scales(first, second)[:2].tolist() == [1, 1]


class Branches(nn.Module):
    """Layers with a second reader between them, or nothing that lets scales through."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.relu6 = nn.ReLU6()

    def forward(self, x):
        y = self.one(x)
        if self.how == "residual":
            return self.two(y) + y
        if self.how == "returned":
            return y, self.two(y)
        if self.how == "twice":
            return self.one(self.one(x).relu())
        if self.how == "tied":
            return functional.linear(y.relu(), self.one.weight)
        if self.how == "norm":
            return self.two(y / y.norm())
        if self.how == "relu6":
            return self.two(self.relu6(y))
        if self.how == "clamp":
            return self.two(y.clamp(min=-1))
        if self.how == "moved":
            return self.two(y.flip(1).t())
        return self.two(y.clamp(min=0))


@pytest.mark.parametrize(
    "how", ["residual", "returned", "twice", "tied", "norm", "moved"]
)
def test_what_scales_do_not_go_through_makes_no_pair(how):
    assert names(Branches(how), torch.randn(4, 4)) == ([], [])


def test_clamps_let_scales_through_if_they_are_relu():
    given = torch.randn(4, 4)
    found, clamps = names(Branches("relu"), given)
    assert found == [("one.weight", "two.weight")]
    assert clamps == []
    assert names(Branches("relu6"), given) == ([], ["relu6:clamp"])
    assert names(Branches("clamp"), given) == ([], [":clamp"])


def test_a_model_is_equalized_before_calibration():
    net, data = toy()
    with torch.no_grad():
        net.block.conv1.weight.mul_(
            torch.tensor([30.0, *[0.1] * 7])[:, None, None, None]
        )
        net.block.conv1.bias.mul_(torch.tensor([30.0, *[0.1] * 7]))
        net.block.conv2.weight.div_(torch.tensor([30.0, *[0.1] * 7])[:, None, None])
    weight = dict(bits=8, granularity="tensor")
    plain, _ = quantized(net, data, weight=weight)
    other, quantizer = quantized(net, data, False, weight=weight)
    calls = []
    method = MODELS.build(dict(type="mmrazor.CrossLayerEqualization"))
    errors = method(other, quantizer, data, advance=lambda: calls.append(1))
    assert len(calls) == 5
    with quantizer.in_float():
        assert distance(net, other, data) ** 0.5 < 1e-5
    # The residual sum before conv1 and up has two readers.
    assert [error.site for error in errors] == ["block.conv1:conv", "block.conv2:conv"]
    for model, found in ((net, errors[0].before), (other, errors[0].after)):
        weight = model.block.conv1.weight.detach()
        scale = weight.abs().max() / 127
        change = (weight / scale).round() * scale - weight
        expected = change.square().sum() / weight.square().sum()
        assert found == pytest.approx(float(expected), rel=1e-4)
    calibrate_(other, quantizer, data)
    assert distance(net, other, data) < 0.1 * distance(net, plain, data)


def test_relu6_is_named_or_replaced(texts):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU6(), nn.Linear(6, 3)).eval()
    data = [torch.randn(9, 4)]
    for replace in (False, True):
        other, quantizer = quantized(net, data, False)
        method = CrossLayerEqualization(replace_relu6=replace)
        errors = method(other, quantizer, data)
        assert len(errors) == 2 * replace
        assert isinstance(other[1], nn.ReLU if replace else nn.ReLU6)
        with quantizer.in_float():
            assert torch.allclose(other(data[0]), net(data[0]), atol=1e-5)
    assert "not equalized through '1:clamp'" in texts[0]
    assert "ReLU stands where ReLU6 was, at 1" in texts[1]
    assert len(texts) == 2


def test_what_cannot_be_is_said(texts):
    net, data = toy()
    other, quantizer = quantized(net, data)
    with pytest.raises(ValueError, match="comes before calibration"):
        CrossLayerEqualization()(other, quantizer, data)
    with pytest.raises(ValueError, match="tolerance=0"):
        CrossLayerEqualization(tolerance=0)
    net = with_odd_ranges(copy.deepcopy(NETS["groups"]))
    given = torch.randn(2, 4, 8, 8, dtype=torch.double)
    equalize_(net, pairs_of(net, flow_of(net, given))[0], max_rounds=1)
    assert "After 1 rounds of equalization, scales still change by" in texts[0]
