"""Small networks for post-training methods, and what is checked of all of them."""

import copy

import torch
from torch import nn

from mmrazor.models.quantizers import Quantizer, calibrate_


class Toy(nn.Module):
    """Convolutions of all sorts, a residual block and a head that is called twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.block = Residual(8)
        self.up = nn.ConvTranspose2d(8, 4, 3, 2, 1, 1, groups=2)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        x = self.block(self.stem(x))
        high = torch.relu(self.up(x))
        return self.head(high), self.head(high[:, :, ::2, ::2])


class Residual(nn.Module):
    """A depthwise and a plain convolution, and what they are added to."""

    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.conv2 = nn.Conv2d(width, width, 1)

    def forward(self, x):
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))


def toy():
    """Return the net, with statistics of its own, and some images."""
    torch.manual_seed(0)
    net = Toy()
    norm = net.stem[1]
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return net.eval(), [torch.randn(8, 3, 8, 8) for _ in range(2)]


def quantized(net, data, calibrated=True, **kwargs):
    """Return a copy of a net that is quantized, and its Quantizer."""
    net = copy.deepcopy(net)
    kwargs.setdefault("activation", False)
    quantizer = Quantizer("generic", **kwargs)
    quantizer.prepare_(net, data[0])
    if calibrated:
        calibrate_(net, quantizer, data)
    return net, quantizer


def check_on_grid(net, quantizer):
    """Check that rounding to nearest gives back every weight, bit by bit."""
    for site, where in quantizer.places.weights.items():
        if where.name is None:
            continue  # a part of a parameter
        module = quantizer.step_at(site).weight
        weight = net.get_parameter(where.name)
        assert torch.equal(module(weight), weight), site


def check_records(errors, quantizer):
    """Check that there is a record of each layer and none got worse."""
    assert [error.site for error in errors] == [f"{s}" for s in quantizer.layers()]
    assert all(0 <= error.after <= error.before for error in errors)


def distance(net, other, data):
    """Return how far two nets are apart on data, in relation to the outputs."""
    with torch.no_grad():
        pairs = [
            pair
            for batch in data
            for pair in zip(net(batch), other(batch), strict=True)
        ]
    change = sum((a - b).square().sum() for a, b in pairs)
    return float(change / sum(a.square().sum() for a, _ in pairs))
