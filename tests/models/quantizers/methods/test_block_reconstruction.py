"""Blocks learned together: closer than rounding to nearest; nothing else changes."""

import copy

import pytest
import torch
from torch import nn

from mmrazor.models.quantizers import (
    AdaRound,
    BlockReconstruction,
    FakeQuantize,
    LearnedStepSize,
)
from mmrazor.models.quantizers.methods import block_data
from mmrazor.models.quantizers.methods.block_data import Example, fisher
from mmrazor.models.quantizers.methods.block_steps import (
    Dropped,
    learnable,
    mixed_given,
    set_step_,
)
from mmrazor.registry import MODELS
from tests.models.quantizers.methods.toys import (
    Residual,
    check_on_grid,
    distance,
    quantized,
    toy,
)

QUICK = dict(iterations=150, lr=0.05)
NAMES = ["stem.0", "block", "up", "head"]


def output_of(net, name, data):
    outputs = []
    handle = net.get_submodule(name).register_forward_hook(
        lambda module, given, result: outputs.append(result.flatten())
    )
    with torch.no_grad():
        for batch in data:
            net(batch)
    handle.remove()
    return torch.cat(outputs)


@pytest.mark.parametrize(
    ("weight", "activation", "more"),
    [
        (dict(bits=3), False, {}),
        (dict(bits=3), dict(bits=3), dict(step_lr=0.01)),
        (dict(bits=4), dict(bits=3), dict(drop_prob=0.5, step_lr=0.01)),
        (
            dict(bits=3, type="LearnedStepSize"),
            dict(bits=3, type="LearnedStepSize", observer=dict(type="MinMaxObserver")),
            dict(step_lr=0.01),
        ),
    ],
)
def test_a_model_comes_closer_to_the_float_one(weight, activation, more):
    net, data = toy()
    other, quantizer = quantized(net, data, weight=weight, activation=activation)
    before = distance(net, other, data)
    calls = []
    method = MODELS.build(dict(type="mmrazor.BlockReconstruction", **QUICK, **more))
    errors = method(other, quantizer, data, advance=lambda: calls.append(1))
    check_on_grid(other, quantizer)
    assert [error.site for error in errors] == NAMES
    assert len(calls) == 5
    assert all(error.after <= error.before for error in errors)
    assert errors[1].after < errors[1].before
    assert distance(net, other, data) < before
    wanted, found = (output_of(model, "block", data) for model in (net, other))
    error = (wanted - found).square().sum() / wanted.square().sum()
    assert errors[1].after == pytest.approx(float(error), rel=1e-3)


def test_steps_of_activations_are_learned_or_stay():
    net, data = toy()
    scales = []
    for step_lr in (0.0, 0.02):
        other, quantizer = quantized(
            net, data, weight=dict(bits=4), activation=dict(bits=3)
        )
        before = {key: m.scale.clone() for key, m in quantizer.activations.items()}
        method = BlockReconstruction(iterations=50, lr=0.1, step_lr=step_lr)
        errors = method(other, quantizer, data)
        changed = {k for k, m in quantizer.activations.items() if m.scale != before[k]}
        scales.append((changed, errors[1].after))
    assert scales[0][0] == set()
    inside = {key for key in before if key.startswith("block:") or "block/" in key}
    assert inside <= scales[1][0]
    assert scales[1][1] < scales[0][1]


def test_layers_learned_together_are_better_than_one_by_one():
    torch.manual_seed(1)
    net = nn.Sequential(Residual(6), Residual(6)).eval()
    data = [torch.randn(16, 6, 6, 6)]
    ends = []
    for method in (
        AdaRound(iterations=200, lr=0.05, positions=None),
        BlockReconstruction(iterations=200, lr=0.05),
    ):
        other, quantizer = quantized(net, data, weight=dict(bits=2))
        method(other, quantizer, data)
        with torch.no_grad():
            ends.append(float((other(data[0]) - net(data[0])).square().sum()))
    assert ends[1] < 0.9 * ends[0]


def test_nothing_else_of_the_model_changes():
    net, data = toy()
    net.train()
    net.head.bias.requires_grad_(False)
    other, quantizer = quantized(net, data, weight=dict(bits=3))
    before = copy.deepcopy(other.state_dict())
    modes = [module.training for module in other.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in other.modules()]
    BlockReconstruction(iterations=5)(other, quantizer, data)
    assert [module.training for module in other.modules()] == modes
    assert hooks == [
        len(m._forward_hooks) + len(m._forward_pre_hooks) for m in other.modules()
    ]
    for name, parameter in other.named_parameters():
        assert parameter.grad is None
        assert parameter.requires_grad == (name != "head.bias")
        if name.endswith("bias"):
            assert torch.equal(parameter, before[name])


def test_the_weights_of_errors_are_squared_gradients():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    batch, target = torch.randn(5, 4), torch.randn(5, 2)

    def loss(model, inputs):
        return (model(inputs) - target).square().sum()

    [[found]] = fisher(net, net[0], batch, loss)
    with torch.no_grad():
        gradient = 2 * (net(batch) - target) @ net[1].weight
    assert torch.allclose(found, gradient.square(), rtol=1e-4)
    assert net[0].weight.grad is None
    one = torch.randn(5, 3)
    example = Example(((), {}), None, [torch.zeros(5, 3)], [found])
    assert example.error([one]).item() == pytest.approx(
        float((one.square() * found).sum())
    )


def test_outputs_that_matter_to_the_loss_are_kept_better():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 4, 1), Residual(4)).eval()
    data = [torch.randn(16, 4, 5, 5)]

    def loss(model, batch):
        output = model(batch)
        return 100 * output[:, :, :, :2].sum() + output.sum()

    errors = []
    for given in (None, loss):
        other, quantizer = quantized(net, data, weight=dict(bits=2))
        method = BlockReconstruction(iterations=200, lr=0.05, loss=given)
        method(other, quantizer, data)
        with torch.no_grad():
            change = (other(data[0]) - net(data[0])).square()
        errors.append(float(change[..., :2].mean()))
    assert errors[1] < errors[0]


def test_dropped_elements_are_as_in_float():
    generator = torch.Generator().manual_seed(0)
    quantizer = FakeQuantize(dict(bits=4))
    quantizer.set_range_(-7.0, 7.0)
    x = torch.rand(4000) * 6 + 0.1
    found = Dropped(quantizer, 0.3, generator)(x)
    dropped = found == x
    assert 0.27 < dropped.float().mean() < 0.33
    assert torch.equal(found[~dropped], quantizer(x)[~dropped])
    given, floats = (torch.zeros(2000), 3), (torch.ones(2000), 3)
    example = Example((given, {"key": None}), (floats, {"key": None}), [])
    (mixture, number), kwargs = mixed_given(example, 0.25, generator)
    assert (number, kwargs) == (3, {"key": None})
    assert 0.22 < mixture.mean() < 0.28


@pytest.mark.parametrize(
    "settings",
    [
        dict(bits=4),
        dict(bits=4, narrow=True),
        dict(bits=3, signed=False),
        dict(bits=3, symmetric=False, signed=False),
    ],
)
def test_a_step_goes_to_a_learnable_quantizer_and_back(settings):
    torch.manual_seed(0)
    quantizer = FakeQuantize(settings)
    quantizer.set_range_(-1.3, 2.9)
    made = learnable(quantizer)
    assert isinstance(made, LearnedStepSize)
    x = torch.randn(500)
    assert torch.allclose(made(x), quantizer(x), atol=1e-6)
    set_step_(quantizer, made.scale * 1.5, made.zero_point)
    assert torch.allclose(quantizer.scale, made.scale * 1.5)
    assert torch.equal(quantizer.zero_point, made.zero_point)


def test_images_are_drawn_where_tensors_agree_on_them():
    generator = torch.Generator().manual_seed(0)
    x = torch.arange(6.0)[:, None]
    example = Example(((x, "a"), {"y": x}), ((x, "a"), {"y": x}), [2 * x], [3 * x])
    part = example.part(2, generator)
    (y, text), kwargs = part.given
    assert text == "a"
    assert y.shape == (2, 1)
    assert torch.equal(kwargs["y"], y)
    assert torch.equal(part.floats[0][0], y)
    assert torch.equal(part.targets[0], 2 * y)
    assert torch.equal(part.weights[0], 3 * y)
    assert example.part(6, generator) is example
    mask = Example(((x, torch.ones(1)), {}), None, [x])
    assert mask.part(2, generator) is mask


class Varying(nn.Module):
    """A block on as many rows as are positive, which is another number in float."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.first(x)
        return self.second(self.relu(x[x[:, 0] > 0.02]))


def test_calls_that_vary_get_the_float_block_as_target_and_a_warning(monkeypatch):
    texts = []
    monkeypatch.setattr(block_data, "print_log", lambda text, **_: texts.append(text))
    torch.manual_seed(3)
    net, data = Varying(), [torch.randn(200, 4)]
    other, quantizer = quantized(net, data, weight=dict(bits=2))
    errors = BlockReconstruction(**QUICK)(other, quantizer, data)
    assert [error.site for error in errors] == ["first", "second"]
    assert len(texts) == 1
    assert "'second' is called otherwise" in texts[0]
    check_on_grid(other, quantizer)


def test_a_layer_of_the_whole_model_is_learned_too():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 8))

        def forward(self, x):
            return nn.functional.linear(x, self.weight)

    torch.manual_seed(0)
    net, data = Bare(), [torch.randn(50, 8) + 2 * torch.randn(50, 1)]
    other, quantizer = quantized(net, data, weight=dict(bits=3))
    [error] = BlockReconstruction(**QUICK)(other, quantizer, data)
    assert error.site == ":linear"
    assert error.after < error.before
    check_on_grid(other, quantizer)


def test_the_same_seed_gives_the_same():
    net, data = toy()
    weights = []
    for seed in (0, 0, 1):
        other, quantizer = quantized(
            net, data, weight=dict(bits=2), activation=dict(bits=3)
        )
        method = BlockReconstruction(
            iterations=30, lr=0.1, batch_size=2, drop_prob=0.5, seed=seed
        )
        method(other, quantizer, data)
        weights.append(torch.cat([p.flatten() for p in other.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="drop_prob=1.0 is to be in"):
        BlockReconstruction(drop_prob=1.0)
    with pytest.raises(ValueError, match="iterations are at least 1"):
        BlockReconstruction(iterations=0)
