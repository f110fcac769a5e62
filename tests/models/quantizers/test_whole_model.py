"""The whole model against the original, and what is said of it."""

import io
import json

import pytest
import torch
from rich.console import Console
from torch import nn

import mmrazor
from mmrazor.models.quantizers import quant_report, sqnr_db
from mmrazor.models.quantizers.whole_model import (
    LEAST_DB,
    MARGIN_DB,
    whole_sqnr,
    whole_warning,
)
from tests.models.quantizers.toys import Chain, calibrated, images, randomized


class Returns(nn.Module):
    """Returns what it is given to return, whatever it is called with."""

    def __init__(self, *outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return {"first": self.outputs[0], "others": list(self.outputs[1:])}


def whole(wanted, found):
    return whole_sqnr(Returns(*wanted), Returns(*found), torch.zeros(1))


def test_the_output_that_differs_most_counts():
    large, small = torch.tensor([300.0, 400.0]), torch.tensor([3.0, 4.0])
    assert whole([large, small], [large, small]) == float("inf")
    assert whole([large, small], [large, torch.tensor([3.0, 4.5])]) == pytest.approx(20)
    assert whole([large, small], [large + 5, small]) == pytest.approx(
        sqnr_db(large, large + 5)
    )
    nothing = torch.zeros(2)
    assert whole([small, nothing], [small, nothing + 1e-9]) == float("inf")
    assert whole([nothing], [nothing + 1]) == float("-inf")
    masked = torch.tensor([float("-inf"), 3.0])
    assert whole([masked], [masked]) == float("inf")
    broken = whole([small, small], [small, torch.tensor([float("nan"), 1.0])])
    assert broken != broken


def test_outputs_that_cannot_be_compared():
    x = torch.ones(2)
    assert whole([x], [torch.ones(3)]) is None
    assert whole([x], [x, x]) is None
    assert whole([x.long()], [x.long()]) is None


def test_when_the_whole_is_warned_of():
    assert whole_warning(LEAST_DB, [LEAST_DB + 5, None, float("inf")]) is None
    assert "below 25 dB" in whole_warning(LEAST_DB - 0.1, [30.0])
    assert "below 25 dB" in whole_warning(float("nan"), [])
    assert whole_warning(30.0, [30.0 + MARGIN_DB]) is None
    text = whole_warning(29.9, [50.0, 30.0 + MARGIN_DB])
    assert "while its layers, one by one, are 40.0 dB or better" in text
    assert "ignore=[...]" in text


class Difference(nn.Module):
    """What is small comes from what is large: the error of the layer is more of it."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(16, 16, bias=False)

    def forward(self, x):
        same = (x[:, None] * self.one.weight).sum(2)
        return self.one(x) - 0.99 * same


def test_a_report_says_what_no_layer_shows():
    torch.manual_seed(0)
    x = torch.randn(64, 16)
    report = mmrazor.quantize(Difference(), [x]).report
    assert report.sqnr_db < 25
    [text] = report.warnings
    assert "from the original float model, while its layers" in text
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["sqnr_db"] == report.sqnr_db
    assert plain["warnings"] == [text]
    console = Console(file=io.StringIO(), width=200)
    console.print(report.table())
    printed = " ".join(console.file.getvalue().split())
    assert (
        f"whole model against the original float model: {report.sqnr_db:.1f}" in printed
    )
    assert "something outside of them was changed" in printed


def test_a_folded_model_is_compared_with_the_original():
    net, x = randomized(Chain()), images(8, 3, 8, 8)
    quant = mmrazor.quantize(net, [x])
    wanted, found = net(x), quant.model(x)
    assert quant.report.sqnr_db == pytest.approx(sqnr_db(wanted, found))
    assert quant.report.warnings == ()
    with torch.no_grad():
        quant.model.architecture.conv2.bias += 1  # as a fault of folding would
    parts = quant.model.architecture, quant.quantizer, x
    spoilt = quant_report(*parts, original=net)
    assert spoilt.sqnr_db < min(layer.sqnr_db for layer in spoilt.layers) - MARGIN_DB
    assert "while its layers" in spoilt.warnings[0]
    assert quant_report(*parts).sqnr_db is None


def test_few_bits_are_said_to_be_far_from_the_original():
    net, x = randomized(Chain()), images(8, 3, 8, 8)
    report = mmrazor.quantize(net, [x], backend="generic", weight=dict(bits=2)).report
    assert report.sqnr_db < 25
    assert len(report.warnings) == 1


def test_without_data_nothing_is_compared():
    net, x = randomized(Chain()), images()
    quantizer = calibrated(net, x)
    assert quant_report(net, quantizer, original=net).sqnr_db is None
