"""Which weights can be changed, what is said of others, and what a layer hears."""

import pytest
import torch
from torch import nn

from mmrazor.core.forward import call_model
from mmrazor.models.quantizers import GPTQ, AdaRound, BlockReconstruction
from mmrazor.models.quantizers.methods import layers
from mmrazor.models.quantizers.methods.hearing import heard
from mmrazor.models.quantizers.methods.layers import weight_layers
from tests.models.quantizers.methods.toys import (
    check_on_grid,
    quantized,
    toy,
)


def test_a_layer_has_all_its_calls_and_what_follows_them():
    net, data = toy()
    other, quantizer = quantized(net, data)
    found = {la.name: la for la in weight_layers(other, quantizer, data[0], call_model)}
    assert list(found) == [where.name for where in quantizer.places.weights.values()]
    assert [layer.number for layer in found.values()] == [1, 1, 1, 1, 2]
    assert found["stem.0.weight"].bias == "stem.0.bias"
    follows = [[len(f) for f in la.activations.values()] for la in found.values()]
    assert follows == [[1], [1], [0], [1], [0]]


class Standardized(nn.Conv2d):
    """A layer that computes its weight."""

    def forward(self, x):
        weight = self.weight - self.weight.mean()
        return nn.functional.conv2d(x, weight, self.bias)


class Tied(nn.Module):
    """One weight in two places, and one that is computed."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.two.weight = self.one.weight
        self.last = Standardized(3, 2, 1)

    def forward(self, x):
        return self.last(self.two(self.one(x).relu()))


@pytest.mark.parametrize("differ", [False, True])
def test_what_stays_as_it_is_is_said(differ, monkeypatch):
    texts = []
    monkeypatch.setattr(layers, "print_log", lambda text, **_: texts.append(text))
    net, data = Tied(), [torch.randn(4, 3, 5, 5)]
    overrides = {"two": dict(weight=dict(bits=3))} if differ else {}
    other, quantizer = quantized(net, data, weight=dict(bits=4), overrides=overrides)
    found = weight_layers(other, quantizer, data[0], call_model)
    assert "'last:conv': its weight is computed" in texts[0]
    assert ("'two:conv': one.weight is rounded in several ways" in texts[0]) == differ
    assert [(layer.name, len(layer.calls)) for layer in found] == (
        [] if differ else [("one.weight", 2)]
    )


def test_the_model_runs_as_far_as_the_layer():
    net, data = toy()
    other, quantizer = quantized(net, data)
    _, block, *_, head = weight_layers(other, quantizer, data[0], call_model)
    ran = []
    for name in ("stem", "block.conv2", "head"):
        other.get_submodule(name).register_forward_hook(
            lambda module, given, result, name=name: ran.append(name)
        )
    assert len(heard(other, quantizer, block, data[0], call_model)) == 1
    assert ran == ["stem"]
    with torch.no_grad():
        assert len(heard(other, quantizer, head, data[0], call_model)) == 2
        ran.clear()
        other(data[0])
    assert ran == ["stem", "block.conv2", "head", "head"]


@pytest.mark.parametrize(
    "method",
    [
        GPTQ(),
        AdaRound(iterations=60, lr=0.1),
        BlockReconstruction(iterations=60, lr=0.1, drop_prob=0.5),
    ],
)
def test_weights_packed_in_one_parameter_are_layers_too(method):
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    net, data = nn.Sequential(encoder, nn.Linear(8, 4)).eval(), [torch.randn(6, 5, 8)]
    other, quantizer = quantized(net, data, weight=dict(bits=3))
    errors = method(other, quantizer, data)
    assert len(errors) == (2 if isinstance(method, BlockReconstruction) else 7)
    packed = quantizer.places.weights[quantizer.layers()[0]]
    assert packed.parameter == "0.self_attn.in_proj_weight"
    weight = other[0].self_attn.in_proj_weight.detach()
    assert all(len(row.unique()) <= 7 for row in weight)
    assert weight.shape == (24, 8)
    check_on_grid(other, quantizer)
    assert all(error.after <= error.before for error in errors)
    assert sum(e.after for e in errors) < 0.95 * sum(e.before for e in errors)
