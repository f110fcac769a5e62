"""AdaRound against all roundings of a tiny layer, and against nearest rounding."""

import itertools
import math

import pytest
import torch
from torch import nn

from mmrazor.models.quantizers import AdaRound, QuantSettings
from mmrazor.models.quantizers.methods import ada_round
from mmrazor.models.quantizers.methods.rounding import (
    Learning,
    SoftRounding,
    learn_,
    rectified_sigmoid,
)
from mmrazor.registry import MODELS
from tests.models.quantizers.methods.toys import (
    check_on_grid,
    check_records,
    distance,
    quantized,
    toy,
)

QUICK = dict(iterations=200, lr=0.05)


def test_the_sigmoid_and_the_regulariser_are_those_of_the_paper():
    v = torch.linspace(-4, 4, 9, dtype=torch.float64)
    expected = [min(max(1.2 / (1 + math.exp(-x)) - 0.1, 0), 1) for x in v.tolist()]
    assert rectified_sigmoid(v).tolist() == pytest.approx(expected)
    weight = torch.tensor([0.25, -1.5, 0.9], dtype=torch.float64)
    one, zero = torch.ones_like(weight), torch.zeros_like(weight)
    soft = SoftRounding(weight, 2 * one, zero, QuantSettings(bits=4))
    assert soft.floor.tolist() == [0, -1, 0]
    assert torch.allclose(soft(), weight)
    for beta in (2.0, 20.0):
        h = [0.125, 0.25, 0.45]
        expected = sum(1 - abs(2 * x - 1) ** beta for x in h)
        assert soft.penalty(beta).item() == pytest.approx(expected)
    soft.v.data = torch.tensor([5.0, -5.0, 5.0])
    assert soft.integers().tolist() == [1, -1, 1]
    assert soft.penalty(2.0).item() == 0


def test_the_grid_ends_where_the_integers_do():
    weight = torch.tensor([-9.0, 9.0, 1.2])
    zero = torch.tensor([1.0, 1.0, 1.0])
    settings = QuantSettings(bits=3)
    soft = SoftRounding(weight, torch.ones(3), zero, settings)
    assert soft().tolist() == pytest.approx([-5, 2, 1.2])
    assert soft.integers().tolist() == [-4, 3, 2]
    soft().sum().backward()
    assert soft.v.grad[:2].tolist() == [0, 0]
    assert soft.v.grad[2] > 0


def test_the_exponent_falls_after_the_warm_up():
    learning = Learning(iterations=10, warmup=0.2, beta=(20, 2))
    betas = [learning.beta_at(step) for step in range(10)]
    assert betas[:2] == [None, None]
    assert betas[2] == 20
    assert betas[6] == pytest.approx(11)
    assert betas[2:] == sorted(betas[2:], reverse=True)
    assert 2 < betas[9] < 3


def test_what_is_learned_ends_on_the_grid():
    torch.manual_seed(0)
    weight = torch.rand(6, 6)
    one, zero = torch.ones(6, 6), torch.zeros(6, 6)
    soft = SoftRounding(weight, one, zero, QuantSettings(bits=4))
    given = torch.randn(50, 6)

    def loss():
        return (given @ (soft() - weight).T).square().sum(1).mean() / 5

    learn_([soft], loss, Learning(iterations=300, lr=0.05))
    h = rectified_sigmoid(soft.v.detach())
    assert ((h == 0) | (h == 1)).all()
    assert torch.equal(soft().detach(), soft.integers())


@pytest.mark.parametrize("relu", [False, True])
def test_it_comes_close_to_the_best_of_all_roundings_of_a_tiny_layer(relu):
    ratios = []
    for seed in range(4):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(8, 1), *[nn.ReLU()] * relu)
        data = [torch.randn(60, 8) + 2 * torch.randn(60, 1)]
        weight = net[0].weight.detach().clone()
        other, quantizer = quantized(net, data, weight=dict(bits=3))
        [error] = AdaRound(iterations=300, lr=0.05)(other, quantizer, data)
        scale = quantizer.weights["0:linear"].scale[:, None]
        floor, errors = (weight / scale).floor(), []
        with torch.no_grad():
            target = net(data[0])
            for up in itertools.product((0.0, 1.0), repeat=8):
                integers = (floor + torch.tensor(up)).clamp(-3, 3)
                output = data[0] @ (integers * scale).T + net[0].bias
                output = output.relu() if relu else output
                errors.append(float((output - target).square().sum()))
            change = (other(data[0]) - target).square().sum()
        best, power = min(errors), float(target.square().sum())
        assert float(change) == pytest.approx(error.after * power, rel=1e-3)
        assert best * 0.999 < float(change) <= error.before * power * 1.001
        ratios.append((float(change) / best, error.before * power / best))
    # It learns between the points of the grid, and may end beside the best.
    assert max(learned for learned, _ in ratios) < 1.15
    assert min(learned for learned, _ in ratios) == pytest.approx(1, rel=1e-3)
    assert max(nearest for _, nearest in ratios) > 5


@pytest.mark.parametrize(
    ("weight", "activation"),
    [
        (dict(bits=4), False),
        (dict(bits=3), dict(bits=4)),
        (dict(bits=4, granularity="tensor", symmetric=False, narrow=False), False),
        (dict(bits=3, granularity="group", group_size=5), False),
    ],
)
def test_a_model_comes_closer_to_the_float_one(weight, activation):
    net, data = toy()
    other, quantizer = quantized(net, data, weight=weight, activation=activation)
    before = distance(net, other, data)
    calls = []
    method = MODELS.build(dict(type="mmrazor.AdaRound", **QUICK))
    errors = method(other, quantizer, data, advance=lambda: calls.append(1))
    check_on_grid(other, quantizer)
    check_records(errors, quantizer)
    assert len(calls) == len(errors) == 5
    assert sum(error.after < error.before for error in errors) >= 4
    assert distance(net, other, data) < before


def test_the_target_is_the_float_model_behind_relu_on_float_inputs():
    net, data = toy()
    other, quantizer = quantized(net, data, weight=dict(bits=3))
    errors = AdaRound(iterations=1)(other, quantizer, data)
    outputs = []
    for model in (net, other):
        with torch.no_grad():
            inside = [model.block.conv1(model.stem(batch)).relu() for batch in data]
        outputs.append(torch.cat(inside))
    change = (outputs[0] - outputs[1]).square().sum() / outputs[0].square().sum()
    # It was measured on half of the positions.
    assert errors[1].after == pytest.approx(float(change), rel=0.2)
    wanted = {"stem.0.weight", "block.conv1.weight", "up.weight", "head.weight"}
    assert quantizer.originals.keys() == {*wanted, "block.conv2.weight"}
    original = net.block.conv1.weight
    assert torch.equal(quantizer.originals["block.conv1.weight"], original)


class Varying(nn.Module):
    """A layer on as many rows as are positive, which is another number in float."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        x = self.first(x)
        return self.second(x[x[:, 0] > 0.02])


def test_rows_that_vary_get_the_float_layer_as_target_and_a_warning(monkeypatch):
    texts = []
    monkeypatch.setattr(ada_round, "print_log", lambda text, **_: texts.append(text))
    torch.manual_seed(3)
    net, data = Varying(), [torch.randn(200, 4)]
    other, quantizer = quantized(net, data, weight=dict(bits=2))
    errors = AdaRound(iterations=50, lr=0.1)(other, quantizer, data)
    assert len(texts) == 1
    assert "'second:linear' is called otherwise" in texts[0]
    check_on_grid(other, quantizer)
    check_records(errors, quantizer)


def test_the_same_seed_gives_the_same():
    net, data = toy()
    weights = []
    for seed in (0, 0, 1):
        other, quantizer = quantized(net, data, weight=dict(bits=3))
        AdaRound(iterations=30, lr=0.1, batch_size=32, seed=seed)(
            other, quantizer, data
        )
        weights.append(torch.cat([p.flatten() for p in other.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (dict(iterations=0), "iterations are at least 1"),
        (dict(lr=0.0), "lr is above 0"),
        (dict(warmup=1.0), r"a share of the iterations in \[0, 1\)"),
        (dict(beta=(20, 0)), "two numbers above 0"),
    ],
)
def test_wrong_settings_are_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        AdaRound(**wrong)
