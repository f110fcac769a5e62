"""What is done at a site while a quantized model runs."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrazor.models.quantizers import FakeQuantize, QuantizedRunError
from mmrazor.models.quantizers.folding import Fold
from mmrazor.models.quantizers.sites import Site
from mmrazor.models.quantizers.steps import QuantizedRun, Step
from tests.models.quantizers.toys import randomized


class Plus(nn.Module):
    """Stands for a quantizer: what it does can be told from the result."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        return x + self.number


class Times(Plus):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.number


def run(model, steps, x, listener=None):
    with QuantizedRun(model, steps, listener).following():
        return model(x)


def test_input_weight_and_output():
    model = nn.Sequential(nn.Linear(2, 3, bias=False))
    step = Step(inputs={0: Plus(1)}, weight=Times(2), output=Plus(10))
    x, weight = torch.rand(4, 2), model[0].weight
    found = run(model, {Site("0", "linear"): step}, x)
    assert torch.allclose(found, F.linear(x + 1, weight * 2) + 10)
    assert torch.allclose(model(x), F.linear(x, weight))  # a run is over


def test_inputs_in_a_list_and_outputs_in_one():
    class Model(nn.Module):
        def forward(self, x):
            a, b = torch.cat([x, x], 1).chunk(2, 1)
            return a, b

    steps = {
        Site("", "cat"): Step(inputs={1: Plus(1)}),
        Site("", "move"): Step(output=Plus(10)),
    }
    x = torch.rand(1, 2)
    a, b = run(Model(), steps, x)
    assert torch.equal(a, x + 10)
    assert torch.equal(b, x + 1 + 10)


def test_integers_in_a_result_stay():
    step = Step(output=Plus(1))
    values, indices = step.returned((torch.zeros(2), torch.tensor([0, 1])))
    assert values.tolist() == [1, 1]
    assert indices.tolist() == [0, 1]


def test_a_weight_is_quantized_as_if_its_norm_were_folded():
    model = randomized(nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)))
    conv, norm = model
    norm.weight.data[1] = 0  # a channel that a method has silenced
    seen = []

    class Keep(FakeQuantize):
        def rounded(self, x):
            seen.append(x)
            return x.round()

    keep = Keep(dict(granularity="tensor"), axis=0)
    keep.set_range_(-1.0, 1.0)
    step = Step(weight=keep, fold=Fold(Site("0", "conv"), Site("1", "norm")))
    x = torch.rand(1, 2, 4, 4)
    found = run(model, {Site("0", "conv"): step}, x)
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    folded = conv.weight * factor.view(3, 1, 1, 1)
    assert torch.equal(seen[0], folded)
    bias = (conv.bias - norm.running_mean) * factor + norm.bias
    assert torch.allclose(found, F.conv2d(x, folded.round(), bias), atol=1e-5)
    found.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
def test_a_quantizer_that_fails_is_named(error):
    class Fails(nn.Module):
        def forward(self, x):
            raise error("there is NaN")

    model = nn.Sequential(nn.Sequential(nn.Linear(2, 3)))
    for step in (Step(inputs={0: Fails()}), Step(output=Fails())):
        with pytest.raises(QuantizedRunError, match="At '0.0:linear': there is NaN"):
            run(model, {Site("0.0", "linear"): step}, torch.rand(1, 2))


def test_a_listener_hears_of_every_site_what_it_is_given_and_returns():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    heard = []
    steps = {Site("0", "linear"): Step(inputs={0: Plus(1)}, output=Plus(10))}
    x = torch.rand(1, 2)
    result = run(model, steps, x, lambda *args: heard.append(args))
    (linear, given, made), (clamp, (read,), last) = heard
    assert (str(linear), str(clamp)) == ("0:linear", "1:clamp")
    assert torch.equal(given[0], x + 1)
    assert torch.equal(made, model[0](x + 1) + 10)
    assert read is made
    assert last is result
