"""GPTQ against the update of its paper written plainly, and nearest rounding."""

import itertools

import pytest
import torch
from torch import nn

from mmrazor.models.quantizers import QuantSettings
from mmrazor.models.quantizers.methods import GPTQ
from mmrazor.models.quantizers.methods.gptq import gptq, inverse_factor, output_error
from mmrazor.registry import MODELS
from tests.models.quantizers.methods.toys import (
    check_on_grid,
    check_records,
    distance,
    quantized,
    toy,
)


def problem(groups=2, rows=3, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(groups, 40, width, generator=generator, dtype=torch.float64)
    inputs = inputs.cumsum(2)  # they go together, so that errors can be made good
    weight = torch.randn(groups, rows, width, generator=generator).double()
    scale = 0.2 + torch.rand(weight.shape, generator=generator).double() * 0.2
    zero = torch.randint(-1, 2, weight.shape, generator=generator).double()
    return weight, inputs.mT @ inputs, scale, zero


def brain_surgeon(weight, hessian, scale, zero, settings, order):
    """Equation 2 of the paper, with the inverse of what is left made anew each time."""
    weight, result = weight.clone(), torch.empty_like(weight)
    left = list(order)
    for j in order:
        places = torch.tensor(left)
        inverse = torch.linalg.inv(hessian[places][:, places])
        for row in range(len(weight)):
            now, step, point = weight[row, j], scale[row, j], zero[row, j]
            integer = torch.round(now / step) + point
            integer = integer.clamp(settings.quant_min, settings.quant_max)
            result[row, j] = integer
            error = (now - (integer - point) * step) / inverse[0, 0]
            weight[row, places] -= error * inverse[:, 0]
        left.remove(j)
    return result


@pytest.mark.parametrize("actorder", [False, True])
@pytest.mark.parametrize("block", [1, 4, 100])
def test_it_is_the_update_of_the_paper(actorder, block):
    weight, hessian, scale, zero = problem()
    settings = QuantSettings(bits=3)
    damping = 0.02
    found = gptq(weight, hessian, scale, zero, settings, damping, actorder, block)
    for group in range(2):
        diagonal = hessian[group].diagonal()
        order = list(range(6))
        if actorder:
            order = diagonal.argsort(descending=True).tolist()
            assert order != list(range(6))
        damped = hessian[group] + damping * diagonal.mean() * torch.eye(6)
        parts = (weight[group], damped, scale[group], zero[group])
        assert torch.equal(found[group], brain_surgeon(*parts, settings, order))


def test_the_factor_holds_the_inverses_of_what_is_left():
    _, hessian, _, _ = problem()
    order = torch.tensor([[0, 1, 2, 3, 4, 5], [3, 1, 5, 0, 2, 4]])
    factor = inverse_factor(hessian, order)
    for group, j in itertools.product(range(2), range(6)):
        places = order[group][j:]
        inverse = torch.linalg.inv(hessian[group][places][:, places])
        row = factor[group, j, j] * factor[group, j, j:]
        assert torch.allclose(row, inverse[0], rtol=1e-6)


def test_inputs_that_were_always_zero_are_rounded_to_nearest():
    weight, hessian, scale, zero = problem()
    hessian[:, 2], hessian[:, :, 2] = 0, 0
    settings = QuantSettings(bits=8)
    for actorder in (False, True):
        found = gptq(weight, hessian, scale, zero, settings, 0.01, actorder)
        nearest = torch.round(weight / scale) + zero
        assert torch.equal(found[:, :, 2], nearest[:, :, 2])
        assert not torch.equal(found, nearest)
    assert torch.equal(gptq(weight, 0 * hessian, scale, zero, settings), nearest)


@pytest.mark.parametrize("bits", [4, 3])
def test_the_error_is_below_that_of_rounding_to_nearest(bits):
    weight, hessian, scale, zero = problem(1, 16, 40)
    settings, zero = QuantSettings(bits=bits), 0 * zero
    scale = weight.abs().amax(2, keepdim=True).expand_as(weight) / settings.quant_max
    nearest = (weight / scale).round() * scale
    found = gptq(weight, hessian, scale, zero, settings) * scale
    assert output_error(weight, found, hessian) < 0.3 * output_error(
        weight, nearest, hessian
    )


def test_the_error_is_that_of_the_outputs():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 9, 4, generator=generator)
    one, other = torch.randn(2, 2, 3, 4, generator=generator)
    outputs, others = inputs @ one.mT, inputs @ other.mT
    expected = (outputs - others).square().sum() / outputs.square().sum()
    found = output_error(one, other, inputs.mT @ inputs)
    assert found == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    "weight",
    [
        dict(bits=4),
        dict(bits=3, granularity="tensor", symmetric=False, narrow=False),
        dict(bits=3, granularity="group", group_size=5),
        dict(bits=4, type="LearnedStepSize"),
    ],
)
def test_a_model_comes_closer_to_the_float_one(weight):
    net, data = toy()
    other, quantizer = quantized(net, data, weight=weight)
    before = distance(net, other, data)
    calls = []
    errors = GPTQ()(other, quantizer, data, advance=lambda: calls.append(1))
    check_on_grid(other, quantizer)
    check_records(errors, quantizer)
    assert len(calls) == len(errors) == 5
    assert sum(error.after < error.before for error in errors) >= 4
    assert distance(net, other, data) < before


def test_layers_see_the_rounded_inputs_of_all_calls():
    net, data = toy()
    other, quantizer = quantized(
        net, data, weight=dict(bits=4), activation=dict(bits=4)
    )
    GPTQ(actorder=False, damping=0.1)(other, quantizer, data)
    inputs = []
    with torch.no_grad():
        handle = other.head.register_forward_pre_hook(
            lambda module, given: inputs.append(given[0])
        )
        for batch in data:
            other(batch)
        handle.remove()
    assert len(inputs) == 4
    step = quantizer.input_quantizer(quantizer.layers()[-1])
    assert all(torch.equal(step(given), given) for given in inputs)
    rows = torch.cat([given.movedim(1, -1).flatten(0, 2) for given in inputs]).double()
    hessian = rows.T @ rows
    hessian += 0.1 * hessian.diagonal().mean() * torch.eye(4)
    module = quantizer.weights["head:conv"]
    weight = net.head.weight.detach().flatten(1).double()
    scale = module.scale.double()[:, None].expand_as(weight)
    settings = module.settings_now
    expected = brain_surgeon(
        weight, hessian, scale, 0 * scale, settings, list(range(4))
    )
    found = module.quantized_(other.head.weight).flatten(1)
    assert torch.equal(found.double(), expected)


def test_the_same_seed_gives_the_same_and_positions_are_drawn():
    net, data = toy()
    weights = []
    for seed, positions in ((0, 4), (0, 4), (1, 4), (0, None)):
        other, quantizer = quantized(net, data, weight=dict(bits=3))
        GPTQ(positions=positions, seed=seed)(other, quantizer, data)
        weights.append(torch.cat([p.flatten() for p in other.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])


def test_what_cannot_be_is_said():
    net, data = toy()
    method = MODELS.build(dict(type="mmrazor.GPTQ"))
    assert not method.before_calibration
    raw, quantizer = quantized(net, data, calibrated=False)
    with pytest.raises(ValueError, match="GPTQ comes after calibration"):
        method(raw, quantizer, data)
    ready, quantizer = quantized(net, data)
    with pytest.raises(ValueError, match="GPTQ has no data"):
        method(ready, quantizer, [])
    unfolded, quantizer = quantized(net, data, fold=False)
    with pytest.raises(ValueError, match="batch norms are folded"):
        method(unfolded, quantizer, data)
    with pytest.raises(ValueError, match="damping is at least 0, not -1"):
        GPTQ(damping=-1)
    linear = nn.Linear(4, 2)
    data = [torch.ones(3, 4)]
    same, quantizer = quantized(nn.Sequential(linear), data)
    with pytest.raises(ValueError, match="0:linear.*damping=0 has no inverse"):
        GPTQ(damping=0)(same, quantizer, data)
