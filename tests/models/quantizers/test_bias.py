"""Biases that are added to sums of integers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmrazor.models.quantizers import Quantizer
from mmrazor.models.quantizers.sites import Site
from tests.models.quantizers.toys import Chain, calibrated, conv, images, randomized


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = conv(3, 4), nn.Linear(4 * 64, 5)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))


def in_integers(quantizer, site, x, layer, add):
    """What a runtime computes: products, bias and sum in integers of 64 bits."""
    given, weight = quantizer.input_quantizer(site), quantizer.step_at(site).weight
    x_int = (given.quantized_(x) - given.zero_point).long()
    w_int = weight.quantized_(layer.weight).long()
    step = given.scale.double() * weight.scale.double()
    bias = torch.round(layer.bias.double() / step).long()
    return add(x_int, w_int, bias) * step.view(1, -1, *[1] * (layer.weight.dim() - 2))


@torch.no_grad()
def test_a_layer_computes_what_integers_do():
    net, x = Layers().eval(), images()
    quantizer = calibrated(net, x)
    before = net.fc.bias.detach().clone()
    seen = {}
    with quantizer.listening(lambda site, given, result: seen.update({site: given})):
        logits = net(x)
    convolved = in_integers(
        quantizer, Site("conv", "conv"), x, net.conv, lambda *a: F.conv2d(*a, padding=1)
    )
    site = Site("fc", "linear")
    out = quantizer.input_quantizer(site)
    rows = convolved.float().flatten(1)
    sums = in_integers(quantizer, site, rows, net.fc, F.linear)
    assert torch.equal(out(rows), seen[site][0])
    # The bias alone would be off by up to half a step of the sums.
    half = float((out.scale * quantizer.step_at(site).weight.scale).min()) / 2
    assert float((logits - sums).abs().max()) < half / 10
    plain = F.linear(out(rows), quantizer.step_at(site).weight(net.fc.weight), before)
    assert float((logits - plain).abs().max()) > half / 5
    assert torch.equal(net.fc.bias, before)


def test_the_gradient_passes():
    net, x = Layers().eval(), images()
    calibrated(net, x)
    net(x).sum().backward()
    assert torch.allclose(net.fc.bias.grad, torch.full((5,), 2.0))


def bias_at(quantizer, name):
    return quantizer.step_at(Site(*name.split(":"))).bias


def test_where_biases_stay_as_they_are():
    net, x = Layers().eval(), images()
    quantizer = Quantizer()
    quantizer.prepare_(net, x)
    rounds = bias_at(quantizer, "fc:linear")
    bias, rows = net.fc.bias, torch.rand(2, 256)
    assert rounds(bias, rows) is bias  # no range yet
    quantizer = calibrated(net := Layers().eval(), x)
    rounds, bias = bias_at(quantizer, "fc:linear"), net.fc.bias
    assert rounds(bias, rows[None]) is bias  # a MatMul and a sum of real numbers
    with quantizer.in_float():
        assert rounds(bias, rows) is bias
    assert not torch.equal(rounds(bias, rows), bias)


@pytest.mark.parametrize(
    "settings",
    [
        dict(backend="openvino"),
        dict(backend="tensorrt"),
        dict(backend="generic"),
        dict(activation=False),
        dict(weight=dict(symmetric=False)),
    ],
    ids=str,
)
def test_who_does_not_round_them(settings):
    quantizer = calibrated(Layers().eval(), images(), **settings)
    assert bias_at(quantizer, "conv:conv") is None
    assert bias_at(quantizer, "fc:linear") is None


def test_convolutions_in_4_bits_do_not():
    net, x = Layers().eval(), images()
    quantizer = calibrated(net, x, weight=dict(bits=[4, 8]))
    rounds, bias = bias_at(quantizer, "conv:conv"), net.conv.bias
    [choice] = quantizer.step_at(Site("conv", "conv")).weight.choices()
    for bits in (8, 4, 8):  # as they are selected now
        choice.selected = bits
        assert (rounds(bias, x) is bias) == (bits == 4)
    few = calibrated(net := Layers().eval(), x, weight=dict(bits=4))
    rows = torch.rand(2, 256)
    assert not torch.equal(bias_at(few, "fc:linear")(net.fc.bias, rows), net.fc.bias)


def test_convolutions_in_front_of_a_norm_do_not():
    net = randomized(Chain())
    quantizer = calibrated(net, images(), fold=False)
    assert bias_at(quantizer, "conv1:conv") is None
    quantizer.fold_(net)
    assert bias_at(quantizer, "conv1:conv") is not None
