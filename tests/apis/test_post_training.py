"""Post-training methods by name, and how batches are run."""

import pytest
import torch
from torch import nn

import mmrazor
from mmrazor.apis.post_training import built_methods, method_names
from mmrazor.apis.quantize_options import SHORT_NAMES, parse_methods
from mmrazor.models.quantizers import sqnr_db

BATCHES = [torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))]


def test_every_method_has_a_short_name():
    assert sorted(SHORT_NAMES.values()) == method_names()
    assert parse_methods(list(SHORT_NAMES)) == list(SHORT_NAMES.values())
    assert parse_methods(["ptq"]) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["ptq", "gptq"], "is calibration alone"),
        (["open('a')"], "is no name and no dict of plain values"),
    ],
)
def test_wrong_words_are_refused(words, text):
    with pytest.raises(ValueError, match=text):
        parse_methods(words)


def test_those_before_calibration_run_first():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU()
    )
    with torch.no_grad():
        net[0].weight.mul_(torch.logspace(-2, 1, 8)[:, None, None, None])
        net[2].weight.div_(torch.logspace(-2, 1, 8)[:, None, None, None])
    settings = dict(weight=dict(granularity="tensor"))
    plain = mmrazor.quantize(net, BATCHES, **settings)
    names = ["BiasCorrection", "CrossLayerEqualization"]
    better = mmrazor.quantize(net, BATCHES, methods=names, **settings)
    assert list(better.errors) == names[::-1]
    expected = net(BATCHES[0])
    ratios = [sqnr_db(expected, q.model(BATCHES[0])) for q in (plain, better)]
    assert ratios[1] > ratios[0] + 6


def test_objects_and_configs_are_taken():
    first = built_methods("GPTQ")[0]
    assert built_methods([first]) == [first]
    assert built_methods(dict(type="GPTQ", damping=0.5))[0].damping == 0.5


@pytest.mark.parametrize(
    ("settings", "methods", "text"),
    [
        (
            dict(weight=dict(bits=[8, 4])),
            ["GPTQ"],
            "Bits of weights may be any of .8, 4., and no method.*'MixedPrecision'",
        ),
        (
            dict(weight=dict(bits=[8, 4]), activation=dict(bits=[8, 6])),
            [dict(type="MixedPrecision", budget=dict(size_bytes=0.7))],
            "Bits of activations may be any of .8, 6., .* Give one number",
        ),
    ],
)
def test_bits_that_nobody_chooses_are_told(settings, methods, text):
    net = nn.Sequential(nn.Conv2d(3, 8, 3))
    with pytest.raises(ValueError, match=text):
        mmrazor.quantize(net, BATCHES, "generic", methods=methods, **settings)
