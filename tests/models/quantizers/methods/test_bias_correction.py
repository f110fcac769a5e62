"""Bias correction: means of all layers become those of the float model."""

import copy

import pytest
import torch
from torch import nn

from mmrazor.models.quantizers import GPTQ, BiasCorrection, Site
from mmrazor.models.quantizers.methods import bias_correction, layers
from mmrazor.registry import MODELS
from tests.models.quantizers.methods.toys import (
    check_on_grid,
    check_records,
    distance,
    quantized,
    toy,
)


def means(net, data):
    """Return the mean output of each layer, by hooks on its module."""
    outputs = {}
    handles = [
        module.register_forward_hook(
            lambda module, given, result, name=name: outputs.setdefault(
                name, []
            ).append(result.movedim(1, 0).flatten(1).double())
        )
        for name, module in net.named_modules()
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    ]
    with torch.no_grad():
        for batch in data:
            net(batch)
    for handle in handles:
        handle.remove()
    return {name: torch.cat(parts, 1).mean(1) for name, parts in outputs.items()}


@pytest.mark.parametrize("activation", [False, dict(bits=4)])
def test_the_mean_of_each_layer_is_that_of_the_float_model(activation):
    net, data = toy()
    net.block.conv2.bias = None
    net.up.bias = None
    other, quantizer = quantized(net, data, weight=dict(bits=3), activation=activation)
    with quantizer.in_float():
        wanted = means(other, data)
    before = means(other, data)
    calls = []
    method = MODELS.build(dict(type="mmrazor.BiasCorrection"))
    errors = method(other, quantizer, data, advance=lambda: calls.append(1))
    after = means(other, data)
    assert list(wanted) == list(after)
    assert len(wanted) == len(calls) == 5
    for name in wanted:
        if quantizer.step_at(Site(name, "conv")).output is not None:
            continue  # what is seen of it here was rounded once more
        assert not torch.allclose(before[name], wanted[name], atol=1e-3)
        assert torch.allclose(after[name], wanted[name], atol=1e-5)
    check_records(errors, quantizer)
    assert all(error.after < 1e-9 < error.before for error in errors)
    first = (before["stem.0"] - wanted["stem.0"]).square().sum()
    expected = float(first / wanted["stem.0"].square().sum())
    assert errors[0].before == pytest.approx(expected, rel=1e-3)


def test_outputs_that_are_rounded_are_corrected_before_they_are():
    net, data = toy()
    other, quantizer = quantized(
        net, data, weight=dict(bits=3), activation=dict(bits=3)
    )
    site = Site("block.conv2", "conv")
    assert quantizer.step_at(site).output is not None
    wanted = means(net, data)["block.conv2"]
    BiasCorrection()(other, quantizer, data)
    given = []
    handle = other.block.conv2.register_forward_pre_hook(
        lambda module, inputs: given.append(inputs[0])
    )
    rounded = means(other, data)["block.conv2"]
    handle.remove()
    conv = copy.deepcopy(other.block.conv2)
    with torch.no_grad():
        conv.weight.copy_(quantizer.step_at(site).weight(conv.weight))
        raw = torch.cat([conv(x).movedim(1, 0).flatten(1) for x in given], 1)
    assert torch.allclose(raw.mean(1).double(), wanted, atol=1e-5)
    assert not torch.allclose(rounded, wanted, atol=1e-5)


def test_it_goes_behind_another_method_and_keeps_the_float_model():
    net, data = toy()
    other, quantizer = quantized(net, data, weight=dict(bits=3))
    GPTQ()(other, quantizer, data)
    weight = other.head.weight.detach().clone()
    before = distance(net, other, data)
    BiasCorrection()(other, quantizer, data)
    assert torch.equal(other.head.weight, weight)
    check_on_grid(other, quantizer)
    assert distance(net, other, data) < before
    wanted, found = means(net, data), means(other, data)
    for name in ("up", "head", "block.conv1", "block.conv2"):
        assert torch.allclose(found[name], wanted[name], atol=1e-5)


class Plain(nn.Linear):
    """A layer that leaves its bias aside."""

    def forward(self, x):
        return nn.functional.linear(x, self.weight)


def test_a_layer_that_adds_no_bias_is_named(monkeypatch):
    texts = []
    monkeypatch.setattr(
        bias_correction, "print_log", lambda text, **_: texts.append(text)
    )
    net = nn.Sequential(nn.Linear(4, 3, bias=False), Plain(3, 2, bias=False))
    data = [torch.rand(9, 4)]
    other, quantizer = quantized(net, data, weight=dict(bits=3))
    [error] = BiasCorrection()(other, quantizer, data)
    assert error.site == "0:linear"
    assert other[0].bias is not None
    assert other[1].bias is None
    assert len(texts) == 1
    assert "they would add none: 1:linear" in texts[0]


class Rare(nn.Module):
    """A layer that only large batches get to."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.one(x)
        return self.two(x) if len(x) > 5 else x


def test_a_layer_without_data_is_named(monkeypatch):
    texts = []
    monkeypatch.setattr(layers, "print_log", lambda text, **_: texts.append(text))
    net, data = Rare(), [torch.rand(9, 4)]
    other, quantizer = quantized(net, data)
    errors = BiasCorrection()(other, quantizer, [torch.rand(2, 4)])
    assert [error.site for error in errors] == ["one:linear"]
    assert "'two:linear': the first batch does not get there" in texts[0]
