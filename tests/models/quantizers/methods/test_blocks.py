"""Which modules are blocks."""

import pytest
import torch
from torch import nn

from mmrazor.core.forward import call_model
from mmrazor.models.quantizers.flow import flow_of
from mmrazor.models.quantizers.methods.blocks import blocks_of
from mmrazor.models.quantizers.methods.layers import weight_layers
from tests.models.quantizers.methods.toys import Residual, quantized, toy


def blocks(net, data, names=None):
    other, quantizer = quantized(net, data)
    layers = weight_layers(other, quantizer, data[0], call_model)
    with quantizer.in_float():
        flow = flow_of(other, data[0])
    return {
        block.text: [layer.name for layer in block.layers]
        for block in blocks_of(other, flow, layers, names)
    }


def test_residual_modules_are_blocks_and_all_others_single_layers():
    net, data = toy()
    assert blocks(net, data) == {
        "stem.0": ["stem.0.weight"],
        "block": ["block.conv1.weight", "block.conv2.weight"],
        "up": ["up.weight"],
        "head": ["head.weight"],
    }


class Nested(nn.Module):
    """Residual blocks in one that adds too, and adds that are none."""

    def __init__(self):
        super().__init__()
        self.one, self.two = Residual(4), Residual(4)
        self.last = nn.Conv2d(4, 4, 1)
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        x = self.one(x + self.shift) + x
        return self.last(self.two(x)) + 1


def test_the_innermost_modules_that_add_are_blocks():
    net = nn.Sequential(Nested(), nn.Conv2d(4, 2, 1))
    data = [torch.randn(2, 4, 5, 5)]
    assert blocks(net, data) == {
        "0.one": ["0.one.conv1.weight", "0.one.conv2.weight"],
        "0.two": ["0.two.conv1.weight", "0.two.conv2.weight"],
        "0.last": ["0.last.weight"],
        "1": ["1.weight"],
    }


def test_names_and_patterns_say_what_is_a_block():
    net, data = toy()
    found = blocks(net, data, ["block.*", "?tem", "stem.0"])
    assert found == {
        "stem": ["stem.0.weight"],
        "block.conv1": ["block.conv1.weight"],
        "block.conv2": ["block.conv2.weight"],
        "up": ["up.weight"],
        "head": ["head.weight"],
    }
    with pytest.raises(ValueError, match="blocks has 'layer1', which is no module.*up"):
        blocks(net, data, ["layer1"])


class Bare(nn.Module):
    """A layer of the whole model's own, and a module that calls a layer of another."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.attention = nn.Sequential(nn.Linear(4, 4))
        self.user = User(self.attention[0])

    def forward(self, x):
        return self.user(nn.functional.linear(x, self.weight))


class User(nn.Module):
    """Calls a layer and uses a weight itself."""

    def __init__(self, layer):
        super().__init__()
        self.inner, self.own = layer, nn.Parameter(torch.randn(4, 4))

    def forward(self, x):
        return nn.functional.linear(self.inner(x), self.own)


def test_a_layer_of_the_whole_model_stands_alone():
    net, data = Bare(), [torch.randn(3, 4)]
    assert blocks(net, data) == {
        ":linear": ["weight"],
        "attention.0": ["attention.0.weight"],
        "user": ["user.own"],
    }
