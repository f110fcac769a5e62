"""Places: toys with a hand-written quantized forward, and what stays in float."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmrazor.models.quantizers import Quantizer
from mmrazor.models.quantizers.backends import backend_named
from mmrazor.models.quantizers.placement import is_in
from mmrazor.models.quantizers.sites import Site
from tests.models.quantizers.toys import (
    ON_IMAGES,
    Attention,
    Chain,
    Concat,
    Functional,
    Hand,
    Residual,
    SharedHead,
    calibrated,
    conv,
    images,
    randomized,
)

#: Biases that are rounded too have tests of their own.
BACKEND = replace(backend_named("onnxruntime"), integer_biases=False)


def same(found, wanted):
    if isinstance(wanted, list):
        return all(map(torch.equal, found, wanted))
    return torch.equal(found, wanted)


@pytest.mark.parametrize("toy", [*ON_IMAGES, Attention], ids=lambda toy: toy.__name__)
def test_a_quantized_run_is_what_is_written_by_hand(toy):
    torch.manual_seed(1)
    net = randomized(toy())
    x = images(2, 5, 6) if toy is Attention else images()
    in_float = net(x)
    hand = Hand()
    wanted = hand.run(net, x)
    quantizer = calibrated(net, x, backend=BACKEND)
    found = net(x)
    assert same(found, wanted)
    assert not same(found, in_float)
    assert len(quantizer.activations) >= len(hand.seen)
    assert not quantizer.places.left_alone


def prepared(model, x=None, **kwargs):
    quantizer = Quantizer(**kwargs)
    quantizer.prepare_(model, images() if x is None else x)
    return quantizer.places


def sites(found):
    return sorted(map(str, found))


def test_quantizers_stand_behind_what_is_fused_and_are_shared_by_readers():
    places = prepared(Residual())
    assert sites(places.outputs) == [
        "conv2:conv",
        "last:conv",
        "relu:clamp",
        "relu:clamp.1",  # one module, called twice: each result has its own
        "stem:conv",
    ]
    assert places.inputs == {(Site("stem", "conv"), 0): "stem:conv.in0"}
    assert places.sources[Site("conv1", "conv"), 0] == Site("stem", "conv")
    assert places.sources[Site("", "add"), 1] == Site("stem", "conv")


def test_scales_go_with_what_moves():
    places = prepared(Chain())
    assert places.moved == {
        Site("pool", "max_pool"): Site("relu", "clamp"),
        Site("", "move"): Site("relu", "clamp", 1),
    }


class TwoScales(nn.Module):
    """One pooling and one layer, on what two layers make."""

    def __init__(self):
        super().__init__()
        self.one, self.two = conv(3, 4), conv(3, 4)
        self.head = nn.Sequential(nn.MaxPool2d(2), conv(4, 2))

    def forward(self, x):
        return [self.head(layer(x)) for layer in (self.one, self.two)]


def test_a_site_that_moves_two_scales_is_no_place_for_either():
    places = prepared(TwoScales())
    assert not places.moved
    assert places.mixed == {(Site("head.1", "conv"), 0)}
    assert places.sources[Site("head.1", "conv"), 0] == Site("one", "conv")


def test_decoding_of_boxes_stays_in_float():
    places = prepared(SharedHead())
    assert sites(places.outputs) == [
        "down:conv",
        "head.1:clamp",
        "head.2:conv",
        "stem:conv",
    ]


def test_a_result_that_nobody_uses_is_quantized_where_the_tensor_is_read():
    places = prepared(Functional())
    assert (Site("", "conv", 1), 0) in places.inputs
    assert places.weights[Site("", "conv")].name == "kernel"
    assert places.weights[Site("", "conv", 1)].name is None
    assert places.weights[Site("", "conv", 1)].parameter is None


class Dynamic(nn.Module):
    """A convolution whose weight is made of the input."""

    def __init__(self):
        super().__init__()
        self.stem, self.make = conv(3, 4), nn.Linear(4, 8)

    def forward(self, x):
        x = self.stem(x)
        weight = self.make(x.mean((0, 2, 3))[None]).view(2, 4, 1, 1)
        return F.conv2d(x, weight)


def test_a_weight_that_depends_on_the_input_is_left_alone():
    places = prepared(Dynamic())
    assert places.left_alone == {
        Site("", "conv"): "has a weight that depends on the input"
    }
    assert sites(places.weights) == ["make:linear", "stem:conv"]


class Constant(nn.Module):
    """Products of parameters alone: relative positions, as in Swin."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(2, 3))
        self.positions, self.stem = nn.Linear(3, 4), conv(3, 4)

    def forward(self, x):
        bias = self.positions(self.table) @ torch.ones(4, 1)
        return self.stem(x) + bias.sum()


class Masked(Attention):
    """Attention that looks at no token whose mask, which is computed, says so."""

    def __init__(self, bias_too):
        super().__init__()
        self.gate, self.bias_too = nn.Linear(8, 1), bias_too

    def forward(self, x):
        x = self.embed(x)
        gate = self.gate(x)[..., 0]
        hidden = gate < gate.mean(1, keepdim=True)
        query, key = x, self.attention.out_proj(x)
        mask = torch.where(hidden, -torch.inf, 0.0)[:, None]
        scores = query @ key.transpose(1, 2) + mask
        if self.bias_too:
            scores = scores.view(-1, *scores.shape[1:]) + gate[:, None]
        return self.head(scores.softmax(-1) @ x)


@pytest.mark.parametrize("bias_too", [False, True])
def test_masks_of_infinity_are_added_in_float(bias_too):
    x = images(2, 5, 6)
    quantizer = calibrated(Masked(bias_too).eval(), x)
    places = quantizer.places
    assert Site("", "matmul") in places.outputs  # the scores, before a mask is added
    assert not [site for site in places.outputs if site.kind == "add"]
    assert not [site for site, _ in places.inputs if site.kind == "add"]


def test_what_depends_on_no_input_is_left_alone():
    places = prepared(Constant())
    assert sites(places.weights) == ["stem:conv"]
    assert places.left_alone == {
        Site("positions", "linear"): "is given what depends on no input",
        Site("", "matmul"): "multiplies what depends on no input",
    }


@pytest.mark.parametrize("ignore", ["two", "tw?", ["two"]])
def test_ignored_modules_stay_in_float(ignore):
    ignore = [ignore] if isinstance(ignore, str) else ignore
    places = prepared(Concat(), ignore=ignore)
    assert sites(places.weights) == ["last:conv", "one:conv"]
    assert places.left_alone == {Site("two", "conv"): "is to be ignored"}


def test_what_a_backend_takes_not_is_left_alone_by_name():
    net = nn.Sequential(conv(3, 4), nn.ConvTranspose2d(4, 2, 2, stride=2))
    places = prepared(net)
    assert places.left_alone == {
        Site("1", "conv_transpose"): "onnxruntime takes no conv_transpose"
    }
    taken = prepared(
        nn.Sequential(conv(3, 4), nn.ConvTranspose2d(4, 2, 2, 2, groups=2)),
        backend="openvino",
    )
    assert not taken.left_alone
    weight = taken.weights[Site("1", "conv_transpose")]
    assert (weight.axis, weight.groups, weight.name) == (1, 2, "1.weight")


def test_what_is_joined_shares_a_scale_where_the_backend_asks_for_it():
    places = prepared(Concat(), backend="openvino")
    names = {places.outputs[Site("", "cat")], places.outputs[Site("one", "conv")]}
    names.add(places.outputs[Site("", "clamp")])
    assert len(names) == 1
    apart = prepared(Concat(), backend="generic").outputs
    assert len(set(apart.values())) == len(apart) == 3


def test_outputs_of_layers_stay_in_float_where_the_backend_takes_that():
    places = prepared(nn.Sequential(conv(3, 4), nn.ReLU()), backend="generic")
    assert not places.outputs
    assert sites(places.outputs) != sites(prepared(nn.Sequential(conv(3, 4))).outputs)


def test_parts_of_a_parameter_are_known():
    places = prepared(Attention(), images(2, 5, 6))
    weights = [places.weights[Site("attention", "linear", i)] for i in range(3)]
    assert {weight.name for weight in weights} == {None}
    assert {weight.parameter for weight in weights} == {"attention.in_proj_weight"}
    assert {weight.numel for weight in weights} == {64}


def test_macs_of_all_layers_are_known():
    places = prepared(SharedHead(), images(2, 3, 8, 8))
    pixels = 2 * 64
    assert places.macs == {
        Site("stem", "conv"): pixels * 4 * 27,
        Site("down", "conv"): pixels // 4 * 4 * 36,
        Site("head.0", "conv"): (pixels + pixels // 4) * 4 * 36,
        Site("head.2", "conv"): (pixels + pixels // 4) * 4 * 4,
    }


@pytest.mark.parametrize(
    ("module", "name", "wanted"),
    [
        ("neck.convs.0", "neck", True),
        ("neck.convs.0", "neck.conv", False),
        ("neck.convs.0", "*.convs", True),
        ("neck.convs.0", "neck.convs.?", True),
        ("necks.convs", "neck", False),
        ("", "neck", False),
    ],
)
def test_names_and_patterns(module, name, wanted):
    assert is_in(module, name) is wanted
