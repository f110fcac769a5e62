"""What became of every layer, and of the bytes."""

import io
import json

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.nn import functional as F

from mmrazor import count_cost
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


class Recurrent(nn.Module):
    """A recurrent layer of two levels, and a layer that is quantized."""

    def __init__(self, kind, **kwargs):
        super().__init__()
        self.rnn = kind(6, 8, 2, batch_first=True, **kwargs)
        self.last = nn.Linear(8, 4)

    def forward(self, x):
        return self.last(self.rnn(x)[0])


GATES = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}


@pytest.mark.parametrize("kind", GATES)
def test_recurrent_layers_are_listed_in_float(kind):
    net, x = Recurrent(kind), images(2, 5, 6)
    report = quant_report(net, calibrated(net, x))
    rnn, last = report.layers
    assert rnn.site == f"rnn:{'rnn_tanh' if kind is nn.RNN else kind.__name__.lower()}"
    assert rnn.why_float.startswith(f"onnxruntime takes no {rnn.site.split(':')[1]}")
    assert rnn.weight_bits is rnn.activation_bits is rnn.sqnr_db is None
    assert last.macs == 10 * 8 * 4
    cost = count_cost(net, x)
    assert rnn.macs + last.macs == cost.macs
    assert set(rnn.uncounted) == set(cost.uncounted)
    assert report.quantized_share == pytest.approx(last.macs / cost.macs)
    if kind is not nn.LSTM:
        assert rnn.macs == 10 * GATES[kind] * 8 * (6 + 8 + 8 + 8)
    saved = 3 * net.last.weight.numel() - 4 * 4  # of the linear layer alone
    assert report.float_bytes == 4 * sum(p.numel() for p in net.parameters())
    assert report.float_bytes - report.quantized_bytes == saved


def tokens(x, weight):
    return torch.nn.functional.scaled_dot_product_attention(x, x, x)


FUNCTIONS = {
    "einsum": (lambda x, w: torch.einsum("btc,oc->bto", x, w), "einsum", 10 * 36),
    "addmm": (lambda x, w: torch.addmm(x[0], x[0], w), "addmm", 5 * 36),
    "baddbmm": (lambda x, w: torch.baddbmm(x, x, w.expand(2, 6, 6)), "baddbmm", 360),
    "addbmm": (lambda x, w: torch.addbmm(x[0], x, w.expand(2, 6, 6)), "addbmm", None),
    "tensordot": (lambda x, w: torch.tensordot(x, w, 1), "tensordot", 10 * 36),
    "inner": (lambda x, w: torch.inner(x, w), "inner", 10 * 36),
    "bilinear": (lambda x, w: F.bilinear(x, x, w[None]), "bilinear", None),
    "multi_dot": (
        lambda x, w: torch.linalg.multi_dot([x[0], w]),
        "linalg_multi_dot",
        180,
    ),
    "matmul": (lambda x, w: x @ w, "matmul", 10 * 36),
    "bmm": (lambda x, w: torch.bmm(x, x.mT), "matmul", 2 * 25 * 6),
    "attention": (tokens, "matmul", 2 * 25 * 6),
    "conv1d": (lambda x, w: F.conv1d(x.mT, w[:, :, None]), "conv", 10 * 36),
}


class Calls(nn.Module):
    """A linear layer, and a function of what it returns and of a parameter."""

    def __init__(self, function):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.weight = nn.Parameter(torch.randn(6, 6))
        self.function = function

    def forward(self, x):
        return self.function(self.first(x), self.weight)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_everything_that_multiplies_is_listed(name):
    function, kind, macs = FUNCTIONS[name]
    net, x = Calls(function), images(2, 5, 6)
    report = quant_report(net, calibrated(net, x))
    assert sum(layer.macs for layer in report.layers) == count_cost(net, x).macs
    found = [layer for layer in report.layers if layer.site.startswith(f":{kind}")]
    assert found
    if macs is not None:
        assert found[0].macs == macs
    if kind not in ("matmul", "conv"):
        assert found[0].why_float.startswith(f"onnxruntime takes no {kind}")
        assert report.quantized_share < 1 or found[0].uncounted
    console = Console(file=io.StringIO(), width=200)
    console.print(report.table())
    printed = "no count, and are not in that share" in console.file.getvalue()
    assert printed == any(layer.uncounted for layer in report.layers)


class Embeds(nn.Module):
    """An output layer with the weight of an embedding, which reads it in float."""

    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
        self.mix = nn.Linear(4, 4, bias=False)
        self.out.weight = self.table.weight

    def forward(self, x):
        return self.out(self.mix(self.table(x)).relu())


def test_bytes_of_a_weight_that_is_read_in_float_too():
    net, x = Embeds(), torch.randint(10, (2, 5))
    report = quant_report(net, calibrated(net, x))
    assert [layer.weight_bits for layer in report.layers][-1] == 8
    assert report.float_bytes == 4 * (40 + 16)
    mix = 16 + 4 * 4 if report.layers[0].weight_bits else 4 * 16
    assert report.quantized_bytes == 4 * 40 + (40 + 4 * 10) + mix


def test_norms_that_are_not_folded_are_in_the_report():
    net = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 2))
    net.append(nn.Conv2d(2, 4, 1))
    net[4].bias = net[0].bias
    report = quant_report(net, calibrated(randomized(net), images()))
    reason = "the bias of '0:conv' is also read by '4:conv'"
    assert report.to_dict()["kept_norms"] == {"1:norm": reason}
    console = Console(file=io.StringIO(), width=200)
    console.print(report.table())
    printed = " ".join(console.file.getvalue().split())
    assert f"batch norms that are not folded: 1:norm ({reason})" in printed


def test_deformable_layers_are_listed_with_what_they_multiply():
    pytest.importorskip("mmcv._ext")
    ops = pytest.importorskip("mmcv.ops")
    deformed = ops.ModulatedDeformConv2dPack(4, 6, 3, padding=1)
    net = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(), deformed)
    report = quant_report(net, calibrated(randomized(net), images()))
    stem, offsets, layer = report.layers
    assert (stem.why_float, offsets.why_float) == ("", "")
    assert layer.site == "3:modulated_deform_conv_forward"
    assert layer.why_float == "onnxruntime takes no modulated_deform_conv_forward"
    assert layer.macs == 2 * 64 * 6 * 4 * 9
    assert report.quantized_share == 1 - layer.macs / count_cost(net, images()).macs


class Boxes(nn.Module):
    """A compiled function that compares boxes, and one that pools, behind a layer."""

    def __init__(self, ops):
        super().__init__()
        self.ops, self.layer, self.norm = ops, conv(3, 4), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.layer(x)
        rois = torch.tensor([[0.0, 0, 0, 4, 4], [1, 2, 2, 6, 6]])
        kept = self.ops.nms(rois[:, 1:], torch.tensor([0.4, 0.5]), 0.5)[1]
        return self.norm(y), self.ops.roi_align(y, rois[kept], (2, 2))


def test_compiled_functions_are_readers_and_what_has_no_count_is_named():
    pytest.importorskip("mmcv._ext")
    net = randomized(Boxes(pytest.importorskip("mmcv.ops")))
    report = quant_report(net, calibrated(net, images()))
    pool = report.layers[1]
    assert pool.uncounted == ("mmcv.roi_align_forward",)
    assert pool.site == ":roi_align_forward"
    reason = report.kept_norms["norm:norm"]
    assert "what 'layer:conv' makes is also read by" in reason
    assert "':roi_align_forward'" in reason
