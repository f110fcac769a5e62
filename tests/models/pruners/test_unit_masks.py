"""Squares of mask gradients against masks multiplied in by hand, sample by sample."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmrazor.core.graph import channel_graph
from mmrazor.models.pruners.unit_masks import UnitMasks

SAMPLES = 5


def of_channels(mask, x):
    """Spread a mask (N, C) over a map (N, C, ...)."""
    return x * mask.reshape(*mask.shape, *[1] * (x.dim() - 2))


def ones(_group, x):
    """Leave a map as it is, where a mask may stand."""
    return x


class Residual(nn.Module):
    """Two blocks on one stream, which three layers read."""

    groups = {"stem.out": 6, "a.out": 5, "b.out": 4}

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.a, self.a2 = nn.Conv2d(6, 5, 3, padding=1), nn.Conv2d(5, 6, 1)
        self.b, self.b2 = nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(4, 6, 1)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x, mask=ones):
        x = self.norm(self.stem(x)).relu()
        x = x + self.a2(mask("a.out", self.a(mask("stem.out", x)).relu()))
        x = x + self.b2(mask("b.out", self.b(mask("stem.out", x)).relu()))
        return self.head(mask("stem.out", x.relu().mean((2, 3))))


class SharedHead(nn.Module):
    """One head for maps of three sizes, as in detectors."""

    groups = {"neck.out": 6, "head.out": 5}

    def __init__(self):
        super().__init__()
        self.neck = nn.Conv2d(3, 6, 3, padding=1)
        self.head = nn.Conv2d(6, 5, 3, padding=1)
        self.last = nn.Conv2d(5, 2, 1)

    def forward(self, x, mask=ones):
        total = 0
        for scale in (1, 2, 4):
            y = self.neck(nn.functional.avg_pool2d(x, scale)).relu()
            y = self.head(mask("neck.out", y)).relu()
            total = total + self.last(mask("head.out", y)).flatten(2).mean(2)
        return total


class Depthwise(nn.Module):
    """The depthwise layer and the one behind it read the same channels."""

    groups = {"wide.out": 6}

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(3, 6, 1)
        self.deep = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.narrow = nn.Conv2d(6, 4, 1)

    def forward(self, x, mask=ones):
        x = self.deep(mask("wide.out", self.wide(x).relu())).relu()
        return self.narrow(mask("wide.out", x))


class Multiplied(nn.Module):
    """A depthwise layer makes two channels of each; they go together."""

    groups = {"wide.out": 5}

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(3, 5, 1)
        self.deep = nn.Conv2d(5, 10, 3, padding=1, groups=5)
        self.narrow = nn.Conv2d(10, 4, 1)

    def forward(self, x, mask=ones):
        x = self.deep(mask("wide.out", self.wide(x).relu())).relu()
        x = mask("wide.out", x.unflatten(1, (5, 2))).flatten(1, 2)
        return self.narrow(x)


class Grouped(nn.Module):
    """A grouped convolution, as the graph couples it: whole groups of two go."""

    groups = {"wide.out": 3}

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(3, 6, 1)
        self.deep = nn.Conv2d(6, 6, 3, padding=1, groups=3)
        self.narrow = nn.Conv2d(6, 4, 1)

    def forward(self, x, mask=ones):
        x = mask("wide.out", self.wide(x).relu().unflatten(1, (3, 2))).flatten(1, 2)
        x = self.deep(x).relu().unflatten(1, (3, 2))
        return self.narrow(mask("wide.out", x).flatten(1, 2))


class Flattened(nn.Module):
    """Every channel has four inputs of the linear layer; an up-convolution before."""

    groups = {"up.out": 5, "fc.out": 6, "stem.out": 4}

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 2, stride=8)
        self.up = nn.ConvTranspose2d(4, 5, 2)
        self.fc, self.last = nn.Linear(20, 6), nn.Linear(6, 2)

    def forward(self, x, mask=ones):
        x = self.up(mask("stem.out", self.stem(x).relu())).relu()
        x = self.fc(mask("up.out", x).flatten(1)).relu()
        return self.last(mask("fc.out", x))


class Concatenated(nn.Module):
    """One layer reads two groups."""

    groups = {"a.out": 3, "b.out": 4}

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(7, 2, 1)

    def forward(self, x, mask=ones):
        parts = [mask("a.out", self.a(x).relu()), mask("b.out", self.b(x).relu())]
        return self.last(torch.cat(parts, 1))


class Tokens(nn.Module):
    """Tokens of windows: four times as many rows as samples."""

    groups = {"embed.out": 6, "fc.out": 5}

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 2, stride=2)
        self.fc, self.last = nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x, mask=ones):
        x = mask("embed.out", self.embed(x)).unfold(2, 2, 2).unfold(3, 2, 2)
        x = x.permute(0, 2, 3, 4, 5, 1).reshape(-1, 4, 6)  # (N * windows, 4, C)
        x = self.fc(x).relu()
        x = mask("fc.out", x.unflatten(0, (-1, 4)).movedim(3, 1))
        return self.last(x.movedim(1, 3).flatten(0, 1)).mean(1)


class SequenceFirst(nn.Module):
    """Tokens before samples: (T, N, C) with T no multiple of N."""

    groups = {"fc.out": 5}

    def __init__(self):
        super().__init__()
        self.fc, self.last = nn.Linear(8, 5), nn.Linear(5, 2)

    def forward(self, x, mask=ones):
        x = x[:, 0, :3].transpose(0, 1)  # (3, N, 8)
        x = mask("fc.out", self.fc(x).relu().permute(1, 2, 0)).permute(2, 0, 1)
        return self.last(x).transpose(0, 1)


NETS = [
    *(Residual, SharedHead, Depthwise, Multiplied, Grouped, Flattened),
    *(Concatenated, Tokens, SequenceFirst),
]


@pytest.fixture
def images():
    samples = SAMPLES
    return torch.randn(samples, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def made(kind):
    torch.manual_seed(0)
    return kind()


def loss_of(outputs):
    return outputs.square().mean() + outputs.sin().sum()


def by_hand(net, images):
    """Square the gradients of masks that the forward multiplies with."""
    groups = net.groups.items()
    masks = {
        name: torch.ones(len(images), size, requires_grad=True) for name, size in groups
    }
    outputs = net(images, lambda name, x: of_channels(masks[name], x))
    found = torch.autograd.grad(loss_of(outputs), list(masks.values()))
    pairs = zip(masks, found, strict=True)
    return {name: gradient.double().square().sum(0) for name, gradient in pairs}


def masks_of(net, size=(1, 3, 8, 8)):
    graph = channel_graph(net, torch.randn(size))
    return UnitMasks(net, graph.groups)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float(value.sum()) > 0
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=0, msg=name)


@pytest.mark.parametrize("kind", NETS)
def test_squares_are_those_of_masks_in_the_forward(kind, images):
    net = made(kind)
    before = copy.deepcopy(net.state_dict())
    expected = by_hand(net, images)
    net.load_state_dict(before)  # running statistics
    with masks_of(net) as masks:
        assert masks.refused == {}
        loss_of(net(images)).backward()
        assert_same(masks.squares(), expected)
        assert masks.refused == {}


@pytest.mark.parametrize("kind", [Residual, SharedHead])
def test_outputs_and_gradients_stay_the_same_to_the_last_bit(kind, images):
    net, plain = made(kind), made(kind)
    with masks_of(net):
        outputs = net(images)
        loss_of(outputs).backward()
    expected = plain(images)
    loss_of(expected).backward()
    assert torch.equal(outputs, expected)
    for one, other in zip(net.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_samples_are_squared_one_by_one(images):
    """Without a norm, a batch is the sum of its samples, however it is split."""
    net = made(Depthwise)
    total = torch.zeros(6, dtype=torch.float64)
    for image in images:
        mask = torch.ones(6, requires_grad=True)
        outputs = net(image[None], lambda _, x, m=mask: of_channels(m[None], x))
        (gradient,) = torch.autograd.grad(outputs.square().sum(), mask)
        total += gradient.double().square()
    with masks_of(net) as masks:
        net(images).square().sum().backward()
        torch.testing.assert_close(masks.squares()["wide.out"], total)
        for part in images.split(2):  # two passes before one reading
            net(part).square().sum().backward()
        torch.testing.assert_close(masks.squares()["wide.out"], total)
        assert masks.squares()["wide.out"].tolist() == [0.0] * 6


def test_frozen_layers_and_several_backwards_of_one_pass(images):
    net = made(Residual)
    expected = by_hand(net, images)
    net = made(Residual)
    for layer in (net.stem, net.norm, net.a):
        layer.requires_grad_(False)
    with masks_of(net) as masks:
        outputs = net(images)
        outputs.square().mean().backward(retain_graph=True)
        outputs.sin().sum().backward()
        assert_same(masks.squares(), expected)


class Checkpointed(SharedHead):
    def __init__(self, reentrant):
        super().__init__()
        self.reentrant = reentrant

    def forward(self, x):
        x = x.requires_grad_()
        return checkpoint(super().forward, x, use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_counts_once(reentrant, images):
    expected = by_hand(made(SharedHead), images)
    torch.manual_seed(0)
    net = Checkpointed(reentrant)
    with masks_of(net) as masks:
        loss_of(net(images)).backward()
        assert_same(masks.squares(), expected)


def test_half_precision_is_close(images):
    net = made(SharedHead)
    expected = by_hand(net, images)
    with masks_of(net) as masks:
        with torch.autocast("cpu", torch.bfloat16):
            outputs = net(images)
        loss_of(outputs.float()).backward()
        for name, value in masks.squares().items():
            torch.testing.assert_close(value, expected[name], rtol=0.15, atol=1e-3)


def test_copies_and_passes_without_gradients_are_left_alone(images):
    net = made(Depthwise)
    with masks_of(net) as masks:
        loss_of(copy.deepcopy(net)(images)).backward()
        with torch.no_grad():
            net(images)
        loss_of(net.narrow(torch.randn(2, 6, 4, 4))).backward()
        net.zero_grad()
        assert masks.squares()["wide.out"].tolist() == [0.0] * 6
        loss_of(net(images)).backward()
        masks.forget_()
        assert masks.squares()["wide.out"].tolist() == [0.0] * 6
        loss_of(net(images)).backward()
        assert_same(masks.squares(), by_hand(net, images))


class ByHand(nn.Module):
    """Uses the weight of a layer without calling the layer."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 6), nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x):
        x = nn.functional.linear(self.a(x).relu(), self.b.weight)
        return self.c(x.relu())


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(8, 6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.last = nn.Linear(6, 2)

    def forward(self, x):
        x = self.embed(x[:, 0])
        return self.last(self.attention(x, x, x)[0])


def test_readers_that_are_not_called_are_refused(images):
    with masks_of(ByHand()) as masks:
        assert masks.refused == {}
        loss_of(masks.model(images)).backward()
        assert set(masks.squares()) == {"b.out"}
        assert masks.refused == {
            "a.out": "is read by 'b.weight', not by its layer's call"
        }
    masks = masks_of(Attention())
    assert "no mask can be put before" in masks.refused["embed.out"]


@pytest.mark.parametrize("rows", [(6, 8), (4, 4, 8)])
def test_rows_that_belong_to_no_sample_are_refused(rows):
    net = made(ByHand)
    net.forward = lambda x: net.c(net.b(net.a(torch.randn(rows)).relu()).relu()).mean()
    graph = channel_graph(made(ByHand), torch.randn(1, 8))
    with UnitMasks(net, graph.groups) as masks:
        net(torch.zeros(4, 8)).backward()
        assert masks.squares() == {}
    shape = (*rows[:-1], 6)
    assert f"of shape {shape}, in which the 4 samples" in masks.refused["a.out"]
    with UnitMasks(net, graph.groups) as masks:  # of one sample are all rows
        net(torch.zeros(1, 8)).backward()
        assert set(masks.squares()) == {"a.out", "b.out"}
