"""Float weights into folded layers; the state of a Quantizer into its places."""

import copy

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict as host_load
from torch import nn

from mmrazor.models.quantizers import Quantizer, calibrate_

IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A residual block, in which one output of a norm is added; a transposed layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.conv = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2, bias=False)
        self.up_norm = nn.BatchNorm2d(4, affine=False)
        self.head = nn.Linear(4, 3)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                if module.affine:
                    nn.init.normal_(module.weight)

    def forward(self, x):
        x = self.stem(x).relu()
        x = (self.norm(self.conv(x)) + x).relu()
        return self.head(self.up_norm(self.up(x)).relu().mean((2, 3)))


def prepared(fold=True, **settings):
    net = Net().eval()
    quantizer = Quantizer(fold=fold, backend="openvino", **settings)
    quantizer.prepare_(net, IMAGES[:1])
    return net, quantizer


@pytest.mark.parametrize("load", [nn.Module.load_state_dict, host_load])
@pytest.mark.parametrize("part", ["", "stem"])
def test_float_weights_are_folded_as_they_are_loaded(load, part):
    plain = Net().eval()
    for parameter in plain.parameters():
        nn.init.normal_(parameter)
    net, quantizer = prepared()
    assert isinstance(net.norm, nn.Identity)
    state = copy.deepcopy(plain.get_submodule(part).state_dict())
    load(net.get_submodule(part), state, strict=True)
    with quantizer.in_float():
        found, expected = net.stem(IMAGES), plain.stem(IMAGES)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        if not part:
            torch.testing.assert_close(net(IMAGES), plain(IMAGES), rtol=1e-4, atol=1e-4)
    assert "1.running_var" in plain.stem.state_dict()


def test_a_state_without_norms_is_loaded_as_it_is():
    first, _ = prepared()
    second, _ = prepared()
    for parameter in first.parameters():
        nn.init.normal_(parameter)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.head.weight, second.head.weight)
    assert torch.equal(first.conv.bias, second.conv.bias)


def test_folding_later_gives_the_names_of_folding_at_once():
    at_once, first = prepared()
    later, second = prepared(fold=False)
    calibrate_(at_once, first, [IMAGES])
    calibrate_(later, second, [IMAGES])
    assert first.activations.keys() != second.activations.keys()
    quantized = later(IMAGES)
    second.fold_(later)
    torch.testing.assert_close(later(IMAGES), quantized, rtol=1e-4, atol=1e-4)
    assert first.activations.keys() == second.activations.keys()
    assert first.places.outputs == second.places.outputs
    at_once.load_state_dict(later.state_dict())
    first.load_state_dict(second.state_dict())
    assert torch.equal(at_once(IMAGES), later(IMAGES))


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.first(x)
        return self.second(x * 2) if x.shape[0] == 1 else x


def test_what_stayed_in_float_does_so_after_loading(caplog):
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        net, quantizer = Branch(), Quantizer()
        quantizer.prepare_(net, torch.randn(1, 4))
        made.append((net, quantizer))
    (net, quantizer), (other, fresh) = made
    calibrate_(net, quantizer, [torch.randn(5, 4)])
    dropped = fresh.weights.keys() - quantizer.weights.keys()
    assert dropped == {"second:linear"}
    fresh.load_state_dict(quantizer.state_dict())
    assert fresh.weights.keys() == quantizer.weights.keys()
    assert fresh.ready
    x = torch.randn(1, 4)
    assert torch.equal(net(x), other(x))


def test_an_empty_state_drops_nothing():
    _, quantizer = prepared()
    before = set(quantizer.activations)
    with pytest.raises(RuntimeError, match="Missing key"):
        quantizer.load_state_dict({})
    assert set(quantizer.activations) == before
