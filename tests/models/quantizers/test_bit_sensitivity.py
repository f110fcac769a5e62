"""Sensitivities against a plain loop that rounds one weight after the other by hand."""

import pytest
import torch
from torch import nn

from mmrazor.models.quantizers import BitSpace, bit_sensitivity, sqnr_db
from mmrazor.models.quantizers.bit_sensitivity import num_runs, output_errors
from mmrazor.models.quantizers.numeric import fake_quantized, scale_and_zero_point
from mmrazor.models.quantizers.settings import QuantSettings
from tests.models.quantizers.toys import (
    Attention,
    Residual,
    SharedHead,
    calibrated,
    conv,
    images,
)

WIDTHS = (8, 4, 2)


class TwoHeads(nn.Module):
    """Two outputs of very different size, one of them in a dictionary."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.body = conv(3, 6), conv(6, 6)
        self.one, self.two = conv(6, 2, 1), conv(6, 3, 1)
        self.two.weight.data *= 100

    def forward(self, x):
        x = self.body(self.stem(x).relu()).relu()
        return {"one": self.one(x), "two": [self.two(x)]}


def rounded(weight, bits):
    settings = QuantSettings(bits=bits, granularity="channel", narrow=True)
    rows = weight.flatten(1)
    pair = scale_and_zero_point(rows.amin(1), rows.amax(1), settings)
    return fake_quantized(weight, *pair, settings, 0)


@torch.no_grad()
def error_by_hand(batches, bits):
    """The error of the outputs with the weights of each layer in so many bits."""
    net, other = TwoHeads(), TwoHeads()
    for name, width in bits.items():
        layer = other.get_submodule(name)
        layer.weight.copy_(rounded(layer.weight, width))
    pairs = [(net(batch), other(batch)) for batch in batches]
    ratios = []
    for pick in (lambda out: out["one"], lambda out: out["two"][0]):
        wanted = torch.cat([pick(one) for one, _ in pairs])
        found = torch.cat([pick(two) for _, two in pairs])
        ratios.append(float((wanted - found).square().sum() / wanted.square().sum()))
    return sum(ratios) / 2


def prepared(net, *batches, **kwargs):
    kwargs = {"backend": "generic", "weight": dict(bits=list(WIDTHS)), **kwargs}
    quantizer = calibrated(net, *batches, **kwargs)
    return quantizer, BitSpace(net, quantizer)


def test_each_layer_and_width_is_what_a_plain_loop_finds():
    net, batches = TwoHeads(), [images(seed=0), images(4, 3, 8, 8, seed=1)]
    quantizer, bits = prepared(net, *batches, activation=False)
    before, calls = bits.space.selected(), []
    found = bit_sensitivity(
        net, quantizer, bits, batches, advance=lambda: calls.append(1)
    )
    assert len(calls) == num_runs(bits) * len(batches) == (1 + 4 * 2) * 2
    assert bits.space.selected() == before
    assert found.outputs == ("one:conv", "two:conv")
    layers = ("stem", "body", "one", "two")
    assert list(found.errors) == [f"{name}.bits" for name in layers]
    widest = dict.fromkeys(layers, 8)
    assert found.widest == pytest.approx(error_by_hand(batches, widest), rel=1e-4)
    for name in layers:
        for width in WIDTHS:
            expected = error_by_hand(batches, {**widest, name: width})
            assert found.errors[f"{name}.bits"][width] == pytest.approx(
                expected, rel=1e-4
            )
        assert found.errors[f"{name}.bits"][2] > found.errors[f"{name}.bits"][4]


def test_candidates_are_run_as_they_are():
    net, batches = TwoHeads(), [images()]
    quantizer, bits = prepared(net, *batches, activation=False)
    widths = {"stem": 4, "body": 2, "one": 8, "two": 2}
    values = {f"{name}.bits": width for name, width in widths.items()}
    [found] = output_errors(net, quantizer, bits, batches, [values])
    assert found == pytest.approx(error_by_hand(batches, widths), rel=1e-4)


def test_the_estimate_is_the_sum_of_what_layers_add():
    net, batches = TwoHeads(), [images()]
    quantizer, bits = prepared(net, *batches)
    found = bit_sensitivity(net, quantizer, bits, batches)
    assert found.estimate(bits.widest()) == found.widest > 0
    one = {**bits.widest(), "body.bits": 2}
    assert found.estimate(one) == pytest.approx(found.errors["body.bits"][2])
    both = {**one, "stem.bits": 4}
    expected = found.estimate(one) + found.errors["stem.bits"][4] - found.widest
    assert found.estimate(both) == pytest.approx(expected)


def test_activations_are_rounded_as_they_will_be():
    net, batches = Residual(), [images()]
    quantizer, bits = prepared(net, *batches, weight=dict(bits=[8, 6]))
    [error] = output_errors(net, quantizer, bits, batches, [bits.widest()])
    with torch.no_grad(), quantizer.in_float():
        wanted = net(batches[0])
    with torch.no_grad():
        found = net(batches[0])
    # The result itself is rounded too where the backend rounds it; here it is not.
    assert 10 ** (-sqnr_db(wanted, found) / 10) == pytest.approx(error, rel=1e-4)


class Scores(nn.Module):
    """Ends in a product of two results."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x):
        return self.one(x) @ self.two(x).transpose(-2, -1)


@pytest.mark.parametrize(
    ("toy", "shape", "last"),
    [
        (Residual, (), ["last:conv"]),
        (SharedHead, (), ["head.2:conv"]),
        (TwoHeads, (), ["one:conv", "two:conv"]),
        (Attention, (2, 5, 6), ["head:linear"]),
        (Scores, (2, 5, 6), [":matmul"]),
    ],
)
def test_the_last_layers(toy, shape, last):
    quantizer, _ = prepared(toy(), images(*shape))
    assert sorted(map(str, quantizer.places.last)) == last


def test_what_cannot_be_compared_is_told():
    net = TwoHeads()
    quantizer, bits = prepared(net, images())
    for head in (net.one, net.two):
        head.weight.data.zero_()
        head.bias.data.zero_()
    with pytest.raises(ValueError, match="'one:conv', 'two:conv'. return cannot be"):
        bit_sensitivity(net, quantizer, bits, [images()])
