"""The fused convolution against a loop over filters."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmrazor.models.ops import FuseConv2d

# by kind: groups, rows of the filters, representatives, groups of the compact layer
KINDS = {
    "ordinary": (1, [[i] for i in range(6)], [1, 2, 5], 1),
    # both groups lose the same places
    "grouped": (2, [[0, 3], [1, 4], [2, 5]], [0, 2], 2),
    # whole groups go
    "group": (3, [[0, 1], [2, 3], [4, 5]], [0, 2], 2),
    "depthwise": (6, [[i] for i in range(6)], [0, 3, 4], 3),
}


def fused(kind, inverse_temperature=1.0, bias=True):
    groups, units, chosen, left = KINDS[kind]
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 6, 3, padding=1, stride=2, groups=groups, bias=bias)
    layer.out_channels, layer.groups = len(chosen) * len(units[0]), left
    layer.in_channels = 6 * left // groups
    units, chosen = torch.tensor(units), torch.tensor(chosen)
    return FuseConv2d(layer, "a.out", units, chosen, inverse_temperature)


def by_loops(layer, values):
    """Return sum_j p_ij f_j, row by row, in the order that plain slicing leaves."""
    units = layer.units.tolist()
    flat = [layer.weight[rows].double().flatten() for rows in units]
    wanted = {}
    for i in layer.representatives.tolist():
        distances = torch.stack(
            [(flat[i] - other).square().sum().sqrt() for other in flat]
        )
        p = torch.exp(-layer.inverse_temperature * distances)
        p = p / p.sum()
        for place, row in enumerate(units[i]):
            mixed = sum(p[j] * values[units[j][place]] for j in range(len(units)))
            wanted[row] = mixed
    return torch.stack([wanted[row] for row in sorted(wanted)])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_filters_are_fused_as_the_loop_does(kind, bias):
    layer = fused(kind, 0.7, bias)
    weight, offset = layer.fused()
    torch.testing.assert_close(weight, by_loops(layer, layer.weight.double()).float())
    if bias:
        torch.testing.assert_close(offset, by_loops(layer, layer.bias.double()).float())
    images = torch.randn(2, layer.in_channels, 8, 8)
    expected = F.conv2d(
        images, weight, offset, stride=2, padding=1, groups=layer.groups
    )
    assert torch.equal(layer(images), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_all_filters_get_their_share_of_the_gradient(kind):
    layer = fused(kind)
    layer(torch.randn(2, layer.in_channels, 8, 8)).square().sum().backward()
    assert bool((layer.weight.grad.flatten(1).norm(dim=1) > 0).all())
    assert bool((layer.bias.grad != 0).all())


def test_the_gradient_takes_the_weighting_as_given():
    layer = fused("ordinary")
    weight, _ = layer.fused()
    towards = torch.randn_like(weight)
    (weight * towards).sum().backward()
    p = layer.probabilities(layer.weight)
    expected = torch.einsum("kc,kihw->cihw", p, towards)
    torch.testing.assert_close(layer.weight.grad, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_limit_the_filters_are_those_chosen(kind):
    layer = fused(kind, 1e4)
    weight, bias = layer.fused()
    assert torch.equal(weight, layer.weight[layer.rows()])
    assert torch.equal(bias, layer.bias[layer.rows()])
    assert sorted(layer.rows()) == layer.rows()


@pytest.mark.parametrize("kind", KINDS)
def test_the_plain_layer_equals_it(kind):
    layer = fused(kind).eval()
    plain = layer.plain()
    assert type(plain) is nn.Conv2d
    assert plain.state_dict().keys() == {"weight", "bias"}
    assert not plain.training
    assert vars(plain).keys() == vars(nn.Conv2d(1, 1, 1)).keys()
    images = torch.randn(2, layer.in_channels, 8, 8)
    torch.testing.assert_close(plain(images), layer(images), rtol=0, atol=0)
    again = nn.Conv2d(
        plain.in_channels, plain.out_channels, 3, 2, 1, groups=plain.groups
    )
    again.load_state_dict(plain.state_dict())
    assert torch.equal(again(images), plain(images))


def test_another_choice_fills_its_places():
    layer = fused("ordinary", 1e4)
    layer.represent_(torch.tensor([4, 2, 0]), 1e4)
    assert layer.rows() == [4, 2, 0]
    assert torch.equal(layer.fused()[0], layer.weight[[4, 2, 0]])


def test_parameters_hooks_and_mode_are_the_source_s():
    source = nn.Conv2d(3, 4, 1).eval()
    source.out_channels = 2
    seen = []
    handle = source.register_forward_hook(lambda *_: seen.append(1))
    units, chosen = torch.arange(4)[:, None], torch.tensor([0, 3])
    layer = FuseConv2d(source, "a.out", units, chosen)
    assert layer.weight is source.weight
    assert not layer.training
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert not list(source.buffers())
    layer(torch.zeros(1, 3, 2, 2))
    handle.remove()
    layer(torch.zeros(1, 3, 2, 2))
    assert seen == [1]
    twin = copy.deepcopy(layer)
    assert twin.weight is not layer.weight
    assert torch.equal(twin.fused()[0], layer.fused()[0])


def test_under_autocast_filters_are_fused_in_full_precision():
    layer = fused("ordinary", 3.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weight, _ = layer.fused()
        output = layer(torch.randn(1, 6, 8, 8))
    assert weight.dtype == torch.float32
    assert torch.equal(weight, layer.fused()[0])
    assert output.dtype == torch.bfloat16


def test_units_have_to_be_the_rows():
    layer = nn.Conv2d(3, 4, 1)
    with pytest.raises(ValueError, match="The 3 rows of the filters of 'a.out'"):
        FuseConv2d(layer, "a.out", torch.arange(3)[:, None], torch.tensor([0]))
