"""Methods that change weights and biases, where something else reads these too."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmrazor.core.forward import call_model
from mmrazor.models.quantizers import (
    GPTQ,
    AdaRound,
    BiasCorrection,
    BlockReconstruction,
    CrossLayerEqualization,
)
from mmrazor.models.quantizers.methods.layers import weight_layers
from tests.models.quantizers.methods.toys import quantized


class Net(nn.Module):
    """Two linear layers, and something more that reads the first one's parameters."""

    def __init__(self, extra):
        super().__init__()
        self.one, self.two, self.last = (
            nn.Linear(8, 8),
            nn.Linear(8, 8),
            nn.Linear(8, 4),
        )
        self.extra = extra

    def forward(self, x):
        y = self.two(self.one(x).relu()).relu()
        return self.last(y) + self.extra(self, x)


def arithmetic(net, x):
    return (x @ net.one.weight.abs().t() * net.one.bias).sum(1, keepdim=True)


ROW = torch.tensor([1])
READERS = {
    "turned around": (lambda net, x: (x @ net.one.weight).sum(1, True), "w"),
    "table": (lambda net, x: F.embedding(ROW, net.one.weight)[:, :4], "w"),
    "arithmetic": (arithmetic, "wb"),
    "factor": (lambda net, x: x[:, :4] * net.one.bias[:4], "b"),
}


def made(name):
    torch.manual_seed(0)
    net = Net(READERS[name][0]).eval()
    with torch.no_grad():
        net.one.weight *= torch.logspace(-1, 1, 8)[:, None]  # something to equalize
    return net, [torch.randn(32, 8)], READERS[name][1]


def in_float(net, quantizer, x):
    with quantizer.in_float(), torch.no_grad():
        return net(x)


@pytest.mark.parametrize("name", READERS)
def test_equalization_computes_the_same(name):
    net, data, _ = made(name)
    wanted = net(data[0]).detach()
    other, quantizer = quantized(net, data, calibrated=False)
    errors = CrossLayerEqualization()(other, quantizer, data)
    assert "one:linear" not in [error.site for error in errors]
    assert torch.equal(other.one.weight, net.one.weight)
    assert torch.equal(other.one.bias, net.one.bias)
    assert not torch.equal(other.two.weight, net.two.weight)  # with the last one
    assert torch.allclose(in_float(other, quantizer, data[0]), wanted, atol=1e-4)


METHODS = {
    "GPTQ": GPTQ(),
    "AdaRound": AdaRound(iterations=5),
    "BlockReconstruction": BlockReconstruction(iterations=5),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", READERS)
def test_a_weight_that_others_read_is_not_rounded(name, method):
    net, data, read = made(name)
    other, quantizer = quantized(net, data, weight=dict(bits=4))
    errors = METHODS[method](other, quantizer, data)
    kept = "w" in read
    assert torch.equal(other.one.weight, net.one.weight) == kept
    names = [error.site.split(":")[0] for error in errors]  # blocks have no kind
    assert ("one" in names) == (not kept)
    assert not torch.equal(other.two.weight, net.two.weight)


@pytest.mark.parametrize("name", READERS)
def test_a_bias_that_others_read_is_not_corrected(name):
    net, data, read = made(name)
    other, quantizer = quantized(net, data, weight=dict(bits=3))
    errors = BiasCorrection()(other, quantizer, data)
    kept = "b" in read
    assert torch.equal(other.one.bias, net.one.bias) == kept
    assert ("one:linear" in [error.site for error in errors]) == (not kept)
    assert not torch.equal(other.two.bias, net.two.bias)


class Twice(nn.Module):
    """Two layers with one weight, and a bias each."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.two.weight = self.one.weight
        nn.init.normal_(self.one.bias, 3)
        nn.init.normal_(self.two.bias, -3)

    def forward(self, x):
        return self.two(self.one(x))


def test_biases_of_one_weight_are_corrected_apart():
    torch.manual_seed(0)
    net, data = Twice().eval(), [torch.randn(256, 8)]
    other, quantizer = quantized(net, data, weight=dict(bits=3))
    errors = BiasCorrection()(other, quantizer, data)
    assert [error.site for error in errors] == ["one:linear", "two:linear"]
    assert all(error.after < 1e-9 < error.before for error in errors)
    assert torch.allclose(
        other.one(data[0]).mean(0), net.one(data[0]).mean(0), atol=1e-1
    )
    assert torch.allclose(other(data[0]).mean(0), net(data[0]).mean(0), atol=1e-5)


@pytest.mark.parametrize("same_bias", [True, False])
def test_rounding_is_learned_with_the_bias_of_each_call(same_bias):
    torch.manual_seed(0)
    net, data = Twice().eval(), [torch.randn(256, 8)]
    if same_bias:
        net.two.bias = net.one.bias
    other, quantizer = quantized(net, data, weight=dict(bits=4))
    with torch.no_grad():
        x = data[0]
        given = torch.cat([x, net.one(x)])
        wanted = given @ net.one.weight.t()
    [error] = AdaRound(iterations=200)(other, quantizer, data)
    # The error is that of the products, on what the float and the rounded layer get.
    assert error.after < error.before < 0.1
    found = given @ other.one.weight.detach().t()
    assert (found - wanted).square().sum() / wanted.square().sum() < 0.05


def test_layers_say_which_biases_their_calls_add():
    net, data = Twice().eval(), [torch.randn(4, 8)]
    other, quantizer = quantized(net, data)
    [layer] = weight_layers(other, quantizer, data[0], call_model)
    assert layer.bias is None
    assert layer.bias_varies
    assert list(layer.biases.values()) == ["one.bias", "two.bias"]
    assert layer.tied == {}
    net.two.bias = net.one.bias
    other, quantizer = quantized(net, data)
    [layer] = weight_layers(other, quantizer, data[0], call_model)
    assert (layer.bias, layer.bias_varies) == ("one.bias", False)
