"""What became of every layer, and of the bytes."""

import io
import json

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.nn import functional as F

from mmrazor.models.quantizers import quant_report
from mmrazor.models.quantizers.report import layer_sqnr
from mmrazor.models.quantizers.sites import Site
from tests.models.quantizers.toys import (
    Attention,
    Chain,
    calibrated,
    conv,
    images,
    randomized,
)


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.last = conv(3, 4, 1), conv(4, 2, 1)
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)

    def forward(self, x):
        return self.last(self.up(self.stem(x)))


def test_layers_in_order_with_what_became_of_them():
    net, x = Mixed(), images(1, 3, 4, 4)
    quantizer = calibrated(net, x, weight=dict(bits=4))
    report = quant_report(net, quantizer)
    stem, up, last = report.layers
    assert [layer.site for layer in report.layers] == [
        "stem:conv",
        "up:conv_transpose",
        "last:conv",
    ]
    assert (stem.macs, up.macs, last.macs) == (16 * 12, 16 * 64, 64 * 8)
    assert up.why_float == "onnxruntime takes no conv_transpose"
    assert up.weight_bits is up.activation_bits is up.weight_scale is None
    assert (stem.weight_bits, stem.activation_bits) == (4, 8)
    scales = net.stem.weight.detach().flatten(1).abs().amax(1) / 7
    assert stem.weight_scale == pytest.approx(
        (float(scales.min()), float(scales.max()))
    )
    assert stem.activation_scale == pytest.approx(float(x.max() - x.min()) / 255)
    share = (stem.macs + last.macs) / (stem.macs + up.macs + last.macs)
    assert report.quantized_share == pytest.approx(share)
    assert (report.model, report.backend) == ("Mixed", "onnxruntime")


def test_bytes_of_weights_and_their_scales():
    net, x = Mixed(), images(1, 3, 4, 4)
    report = quant_report(net, calibrated(net, x, weight=dict(bits=4)))
    weights = (
        12 / 2 + 4 * 4 + 8 / 2 + 2 * 4
    )  # half a byte, and a scale for each channel
    rest = 4 * (4 + 64 + 4 + 2)  # biases and the layer in float
    assert report.float_bytes == 4 * (12 + 4 + 64 + 4 + 8 + 2)
    assert report.quantized_bytes == weights + rest


def test_bytes_of_a_parameter_in_parts():
    net = Attention()
    report = quant_report(net, calibrated(net, images(2, 5, 6)))
    weights = [net.embed.weight, net.head.weight, net.attention.out_proj.weight]
    weights.append(net.attention.in_proj_weight)
    saved = sum(3 * w.numel() - 4 * len(w) for w in weights)
    assert report.float_bytes - report.quantized_bytes == saved


class Tied(nn.Module):
    """One parameter in two layers, a part of another in one, a third computed."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(4, 4, bias=False)
        self.big = nn.Parameter(torch.randn(8, 4))
        self.made = nn.Parameter(torch.randn(4, 4))

    def forward(self, x):
        x = F.linear(self.one(x).relu(), self.one.weight).relu()
        return F.linear(F.linear(x, self.big[:4]).relu(), self.made * 2)


def test_bytes_of_what_is_shared_sliced_and_computed():
    net = Tied()
    report = quant_report(net, calibrated(net, images(3, 4)))
    assert len(report.layers) == 4
    assert report.float_bytes - report.quantized_bytes == 2 * (3 * 16 - 4 * 4)


def test_activations_in_float():
    net, x = randomized(Chain()), images()
    quantizer = calibrated(net, x, activation=False)
    for layer in quant_report(net, quantizer, x).layers:
        assert layer.activation_bits is None
        assert layer.weight_bits == 8
        assert layer.sqnr_db > 30


def test_products_without_weights_are_listed():
    net, x = Attention(), images(2, 5, 6)
    quantizer = calibrated(net, x)
    layers = {layer.site: layer for layer in quant_report(net, quantizer, x).layers}
    for site in ("attention:matmul", "attention:matmul.1"):
        assert layers[site].weight_bits is None
        assert layers[site].activation_bits == 8
        assert not layers[site].why_float
    weights_only = calibrated(Attention(), x, activation=False)
    layers = {layer.site: layer for layer in quant_report(net, weights_only).layers}
    assert layers["attention:matmul"].why_float == "activations stay in float"


def test_ratios_are_those_of_the_outputs():
    net, x = randomized(Chain()), images()
    quantizer = calibrated(net, x)
    with quantizer.in_float():
        wanted = net(x).detach()
    noise = (net(x).detach() - wanted).square().sum()
    by_hand = 10 * torch.log10(wanted.square().sum() / noise)
    found = layer_sqnr(net, quantizer, x)
    assert found[Site("fc", "linear")] == pytest.approx(float(by_hand), abs=1e-3)
    assert found.keys() == quantizer.places.macs.keys()


def test_it_is_plain_data_and_a_table():
    net, x = Mixed(), images(1, 3, 4, 4)
    report = quant_report(net, calibrated(net, x), x)
    data = json.loads(json.dumps(report.to_dict()))
    assert data["layers"][0]["site"] == "stem:conv"
    assert data["quantized_share"] == report.quantized_share
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(report.table())
    text = console.export_text()
    for part in (
        "Mixed for onnxruntime",
        "W8A8",
        "takes no conv_transp",
        "of the MACs",
    ):
        assert part in text
