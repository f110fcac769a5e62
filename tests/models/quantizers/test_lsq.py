"""Learned steps against the paper's formulas, written out number by number."""

import math

import pytest
import torch

from mmrazor.models.quantizers import LearnedStepSize, QuantSettings, fake_quantized

DATA = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
SETTINGS = [
    QuantSettings(bits=2),
    QuantSettings(bits=4, narrow=True),
    QuantSettings(bits=3, signed=False),
    QuantSettings(bits=8),
]


def plain_gradients(values, step, settings, upstream):
    """Equations 1 to 3 and 5 of the paper; without the factor of section 2.2."""
    q_n, q_p = -settings.quant_min, settings.quant_max
    to_step, to_values = 0.0, []
    for v, g in zip(values, upstream, strict=True):
        ratio = v / step
        if ratio <= -q_n:
            slope, through = -q_n, 0.0
        elif ratio >= q_p:
            slope, through = q_p, 0.0
        else:
            slope, through = -ratio + round(ratio), 1.0
        to_step += g * slope
        to_values.append(g * through)
    return to_step, to_values


def with_step(settings, steps, axis=None):
    made = LearnedStepSize(settings, axis)
    steps = torch.as_tensor(steps)
    made.set_range_(-steps * settings.quant_max, steps * settings.quant_max)
    return made


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("axis", [None, 0])
def test_gradients_are_the_papers(settings, axis):
    x = DATA.double().requires_grad_()
    upstream = torch.randn(DATA.shape, generator=torch.Generator().manual_seed(1))
    made = with_step(settings, torch.tensor(0.37, dtype=torch.float64), axis)
    (made(x) * upstream).sum().backward()
    flat = x.detach().flatten().tolist()
    weights = upstream.flatten().tolist()
    to_step, to_values = plain_gradients(flat, 0.37, settings, weights)
    # Of an activation (no axis) the features of one image count, of a weight all.
    sharing = 20 if axis is None else 60
    factor = 1 / math.sqrt(sharing * settings.quant_max)
    assert float(made.scales.grad) == pytest.approx(to_step * factor, rel=1e-6)
    assert x.grad.flatten().tolist() == pytest.approx(to_values)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_channels_have_the_gradients_of_tensors(axis):
    settings = QuantSettings(bits=3, granularity="channel")
    count = DATA.shape[axis]
    steps = torch.linspace(0.2, 0.9, count)
    x = DATA.clone().requires_grad_()
    made = with_step(settings, steps, axis)
    made(x).square().sum().backward()
    for i, part in enumerate(DATA.unbind(axis)):
        alone = with_step(QuantSettings(bits=3), steps[i], axis=0)
        y = part.clone().requires_grad_()
        alone(y).square().sum().backward()
        torch.testing.assert_close(made.scales.grad[0, i], alone.scales.grad[0])
        torch.testing.assert_close(x.grad.select(axis, i), y.grad)


def test_groups_have_the_gradients_of_tensors():
    settings = QuantSettings(bits=3, granularity="group", group_size=4)
    steps = torch.rand(3, 5, generator=torch.Generator().manual_seed(2)) + 0.2
    made = with_step(settings, steps, axis=0)
    made(DATA).square().sum().backward()
    for row, channel in enumerate(DATA):
        for place, part in enumerate(channel.flatten().split(4)):
            alone = with_step(QuantSettings(bits=3), steps[row, place], axis=0)
            alone(part).square().sum().backward()
            found = made.scales.grad[0, row, place]
            torch.testing.assert_close(found, alone.scales.grad[0])


def test_the_gradient_of_a_step_is_that_of_its_function_where_nothing_is_rounded():
    """Where all is clipped, the output is ``quant_max * step``: a true derivative."""
    settings, x = QuantSettings(bits=4), torch.full((1, 6), 100.0, dtype=torch.float64)
    made = with_step(settings, torch.tensor(0.5, dtype=torch.float64))
    made(x).square().sum().backward()

    def loss(step):
        pair = torch.tensor(step, dtype=torch.float64), torch.zeros(()).double()
        return float(fake_quantized(x, *pair, settings).square().sum())

    slope = (loss(0.5 + 1e-6) - loss(0.5 - 1e-6)) / 2e-6
    assert float(made.scales.grad) == pytest.approx(slope / math.sqrt(6 * 7), rel=1e-6)


def test_a_zero_point_stays_and_is_taken_into_account():
    settings = QuantSettings(bits=3, symmetric=False, signed=False)
    made = LearnedStepSize(settings, observer="MinMaxObserver")
    made.set_range_(-1.0, 2.5)
    assert (float(made.scale), float(made.zero_point)) == (0.5, 2.0)
    x = torch.tensor([[-9.0, -0.7, 0.3, 9.0]], requires_grad=True)
    y = made(x)
    assert y.tolist() == [[-1.0, -0.5, 0.5, 2.5]]
    y.sum().backward()
    slope = -2 + (-1 + 1.4) + (1 - 0.6) + 5
    assert float(made.scales.grad) == pytest.approx(slope / math.sqrt(4 * 7))
    assert x.grad.tolist() == [[0, 1, 1, 0]]
    assert (float(made.low), float(made.high)) == (-1.0, 2.5)


def test_it_begins_with_the_first_tensor_and_then_only_learns():
    made = LearnedStepSize(QuantSettings(bits=4))
    parameter = made.scales
    optim = torch.optim.SGD(made.parameters(), lr=0.1)
    made(DATA).square().mean().backward()
    first = 2 * float(DATA.abs().mean()) / math.sqrt(7)
    assert float(made.scale) == pytest.approx(first)
    assert made.scales is parameter
    optim.step()
    learned = float(made.scale)
    assert learned == pytest.approx(first - 0.1 * float(made.scales.grad))
    made.observing = True
    made(DATA * 100)
    assert float(made.scale) == learned
    fresh = LearnedStepSize(QuantSettings(bits=4))
    fresh.load_state_dict(made.state_dict())
    assert float(fresh.scale) == learned
    assert torch.equal(fresh(DATA), made(DATA))


def test_the_step_finds_the_least_error():
    """By training alone it comes to where a search finds the least squared error."""
    settings = QuantSettings(bits=3)
    x = torch.randn(1, 4096, generator=torch.Generator().manual_seed(3))
    made = with_step(settings, 1.5)
    optim = torch.optim.Adam(made.parameters(), lr=0.02)
    for _ in range(150):
        optim.zero_grad()
        (made(x) - x).square().mean().backward()
        optim.step()
    zero = torch.tensor(0.0)
    errors = {
        step / 100: float(
            (fake_quantized(x, torch.tensor(step / 100), zero, settings) - x)
            .square()
            .mean()
        )
        for step in range(20, 150)
    }
    reached = float((made(x) - x).square().mean().detach())
    assert reached <= min(errors.values()) * 1.02
    assert reached < errors[1.49] / 2


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_step_below_0_stands_for_its_size(settings):
    above, below = with_step(settings, 0.3), with_step(settings, 0.3)
    below.scales.data.neg_()
    assert float(below.scale) == float(above.scale) > 0
    assert torch.equal(below(DATA), above(DATA))
    for made in (above, below):
        (made(DATA) - DATA).square().sum().backward()
    assert torch.equal(below.scales.grad, -above.scales.grad)
    assert float(above.scales.grad) != 0


@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
def test_in_front_of_a_norm_steps_learn_as_those_of_the_weight(granularity):
    """Descent on ``step / f`` moves the step by its gradient times ``f ** 2``."""
    size = 5 if granularity == "group" else None
    settings = QuantSettings(bits=4, granularity=granularity, group_size=size)
    factor = torch.tensor([0.1, -2.0, 0.7])[:, None, None]
    shape = {"tensor": (), "channel": (3,), "group": (3, 4)}[granularity]
    folded, plain = (with_step(settings, torch.full(shape, 0.2), 0) for _ in "ab")
    result = folded.as_folded(DATA, factor)
    torch.testing.assert_close(result, plain(DATA * factor) / factor)
    upstream = torch.randn(DATA.shape, generator=torch.Generator().manual_seed(1))
    (result * upstream).sum().backward()
    (plain(DATA * factor) / factor * upstream).sum().backward()
    squares = factor.square().flatten()
    squares = squares.mean() if granularity == "tensor" else squares
    squares = squares[:, None] if granularity == "group" else squares
    torch.testing.assert_close(folded.scales.grad[0], plain.scales.grad[0] * squares)
    folded.scales.grad = plain.scales.grad = None
    for made in (folded, plain):  # nothing is left of the norm
        made(DATA).square().sum().backward()
    torch.testing.assert_close(folded.scales.grad, plain.scales.grad)


def test_bits_have_a_step_of_their_own():
    made = LearnedStepSize(QuantSettings(), bits=[8, 4])
    made.observing, made.quantizing = True, False
    made(DATA)
    made.observe_end_()
    made.quantizing = True
    made.choices()[0].selected = 4
    made(DATA).sum().backward()
    assert made.scales.shape == (2,)
    assert made.scales.grad[0] == 0
    assert made.scales.grad[1] != 0
    assert float(made.scale) == pytest.approx(2 * float(DATA.abs().mean()) / 7**0.5)
    fixed = made.fix()
    assert isinstance(fixed.scales, torch.nn.Parameter)
    assert torch.equal(fixed(DATA), made(DATA))


def test_half_precision_trains():
    made = with_step(QuantSettings(bits=4), 0.3)
    x = DATA.bfloat16().requires_grad_()
    made(x).float().square().sum().backward()
    assert x.grad.dtype == torch.bfloat16
    assert made.scales.grad.dtype == torch.float32


def test_a_zero_point_needs_an_observer_that_finds_one():
    with pytest.raises(ValueError, match="finds a step, no zero point"):
        LearnedStepSize(dict(symmetric=False))
