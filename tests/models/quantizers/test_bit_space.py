"""Bit-widths as a SearchSpace, and bytes against the report and by hand."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmrazor.models.quantizers import BitSpace, quant_report
from tests.models.quantizers.toys import (
    Attention,
    Chain,
    Functional,
    SharedHead,
    calibrated,
    images,
    randomized,
)


class Tied(nn.Module):
    """One parameter in two layers, halves of another in two, a third computed."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(4, 4, bias=False)
        self.big = nn.Parameter(torch.randn(8, 4))
        self.made = nn.Parameter(torch.randn(4, 4))

    def forward(self, x):
        x = F.linear(self.one(x).relu(), self.one.weight).relu()
        x = F.linear(F.linear(x, self.big[:4]).relu(), self.big[4:]).relu()
        return F.linear(x, self.made * 2)


def searchable(net, x, bits=(8, 4, 2), backend="generic", **kwargs):
    kwargs.setdefault("weight", dict(bits=list(bits)))
    quantizer = calibrated(net, x, backend=backend, **kwargs)
    return quantizer, BitSpace(net, quantizer)


def test_names_are_those_of_the_modules():
    _, bits = searchable(randomized(Chain()), images())
    assert list(bits.space) == ["conv1.bits", "conv2.bits", "fc.bits"]
    assert {name: bits.widths(name) for name in bits.space} == {
        "conv1.bits": [8, 4, 2],
        "conv2.bits": [8, 4, 2],
        "fc.bits": [8, 4, 2],
    }
    values = {"conv1.bits": 2, "conv2.bits": 8, "fc.bits": 4}
    sites = {"conv1:conv": 2, "conv2:conv": 8, "fc:linear": 4}
    assert bits.by_site(values) == sites
    _, bits = searchable(Functional(), images())
    assert list(bits.space) == [":conv.bits", ":conv.1.bits"]
    _, bits = searchable(SharedHead(), images())  # the head is called twice
    assert list(bits.space) == ["stem.bits", "down.bits", "head.0.bits", "head.2.bits"]


@pytest.mark.parametrize(
    ("toy", "shape"), [(Chain, ()), (Functional, ()), (Tied, (3, 4))]
)
@pytest.mark.parametrize(
    "weight",
    [
        dict(bits=[8, 4, 2]),
        dict(bits=[3, 5], granularity="group", group_size=5),
        dict(bits=[4, 8], type="LearnedStepSize", granularity="tensor"),
    ],
    ids=["channels", "groups", "learned"],
)
def test_the_cost_is_what_the_report_says_of_every_subnet(toy, shape, weight):
    torch.manual_seed(0)
    net, x = randomized(toy()), images(*shape)
    quantizer, bits = searchable(net, x, weight=weight)
    sizes = []
    for combination in itertools.product(*map(bits.widths, bits.space)):
        values = dict(zip(bits.space, combination, strict=True))
        bits.space.select_(values)
        sizes.append(quant_report(net, quantizer).quantized_bytes)
        assert bits.costs(values) == {"size_bytes": sizes[-1]}
    assert bits.range() == {"size_bytes": (min(sizes), max(sizes))}
    assert bits.costs(bits.widest())["size_bytes"] == max(sizes)


def test_the_cost_by_hand():
    _, bits = searchable(
        randomized(Chain()), images(), overrides={"fc": dict(weight=dict(bits=6))}
    )
    assert list(bits.space) == ["conv1.bits", "conv2.bits"]
    scales, biases = 4 * (4 + 6 + 5), 4 * (4 + 6 + 5)
    fixed = scales + biases + 5 * 96 * 6 // 8
    weights = 4 * 3 * 9 * 4 // 8 + 6 * 4 * 9 * 2 // 8
    values = {"conv1.bits": 4, "conv2.bits": 2}
    assert bits.costs(values) == {"size_bytes": fixed + weights}


def test_a_weight_of_two_layers_is_one_choice_and_parts_are_several():
    quantizer, bits = searchable(Tied(), images(3, 4))
    names = ["one.bits", ":linear.1.bits", ":linear.2.bits", ":linear.3.bits"]
    assert list(bits.space) == names
    bits.space.select_(dict.fromkeys(names, 8) | {"one.bits": 2})
    found = [quantizer.step_at(s).weight.settings_now.bits for s in quantizer.layers()]
    assert found == [2, 2, 8, 8, 8]
    _, bits = searchable(Attention(), images(2, 5, 6))
    parts = [f"attention:linear{end}.bits" for end in ("", ".1", ".2")]
    assert list(bits.space) == [
        "embed.bits",
        *parts,
        "attention.out_proj.bits",
        "head.bits",
    ]


def test_layers_whose_settings_have_one_name_share_a_choice():
    named = dict(weight=dict(name="convs.bits"))
    quantizer, bits = searchable(
        randomized(Chain()), images(), overrides={"conv?": named}
    )
    assert list(bits.space) == ["convs.bits", "fc.bits"]
    bits.space.select_({"convs.bits": 4, "fc.bits": 2})
    found = [quantizer.step_at(s).weight.settings_now.bits for s in quantizer.layers()]
    assert found == [4, 4, 2]


def test_uniform_widths():
    overrides = {"fc": dict(weight=dict(bits=[8, 6]))}
    _, bits = searchable(randomized(Chain()), images(), overrides=overrides)
    assert bits.uniform(4) == {"conv1.bits": 4, "conv2.bits": 4, "fc.bits": 6}
    assert bits.uniform(7) == {"conv1.bits": 4, "conv2.bits": 4, "fc.bits": 6}
    assert bits.uniform(8) == bits.widest()


def test_what_cannot_be_searched_is_told():
    with pytest.raises(ValueError, match="No weight of Chain has several bit-widths"):
        searchable(randomized(Chain()), images(), weight=dict(bits=[4]))
    overrides = {":linear": dict(weight=dict(bits=[8, 3]))}
    match = "'one:linear' and ':linear' have one bit-width.*cannot share the decision"
    with pytest.raises(ValueError, match=match):
        searchable(Tied(), images(3, 4), overrides=overrides)
