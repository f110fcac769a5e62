"""Batch norms folded into the layers before them: the same function, and no other."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmrazor.models.quantizers.flow import flow_of
from mmrazor.models.quantizers.folding import along, fold_, foldable, folds_of
from mmrazor.models.quantizers.loading import accept_float_weights_, norms_of
from tests.models.quantizers.toys import conv, images, randomized

PAIRS = {
    "conv1d": (nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6), (2, 3, 8)),
    "conv2d": (nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), (2, 3, 8, 8)),
    "conv3d": (nn.Conv3d(3, 6, 2), nn.BatchNorm3d(6), (2, 3, 4, 4, 4)),
    "groups": (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (2, 4, 8, 8)),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), nn.BatchNorm2d(8), (2, 4, 8, 8)),
    "transposed": (nn.ConvTranspose2d(3, 6, 2, 2), nn.BatchNorm2d(6), (2, 3, 4, 4)),
    "linear": (nn.Linear(3, 6, bias=False), nn.BatchNorm1d(6), (4, 3)),
    "sync": (nn.Conv2d(3, 6, 1), nn.SyncBatchNorm(6), (2, 3, 4, 4)),
    "not affine": (nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6, affine=False), (2, 3, 4, 4)),
    "eps": (nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6, eps=0.5), (2, 3, 4, 4)),
    "double": (
        nn.Conv2d(3, 6, 1).double(),
        nn.BatchNorm2d(6).double(),
        (2, 3, 4, 4),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_fold_is_the_same_function(name):
    layer, norm, shape = PAIRS[name]
    model = randomized(nn.Sequential(layer, norm, nn.ReLU())).to(layer.weight.dtype)
    x = images(*shape).to(layer.weight.dtype)
    wanted = model(x).detach()
    folds = folds_of(model, flow_of(model, x))
    assert [(f.layer.module, f.norm.module) for f in folds] == [("0", "1")]
    fold_(model, folds)
    assert isinstance(model[1], nn.Identity)
    assert model[0].bias.dtype == layer.weight.dtype
    assert torch.allclose(model(x), wanted, atol=1e-5)
    assert not folds_of(model, flow_of(model, x))


def folds(model, x=None):
    return folds_of(randomized(model), flow_of(model, images() if x is None else x))


class Parts(nn.Module):
    """A network from a function of its parts."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x):
        return self.function(x, *self.parts)


def bn():
    return nn.BatchNorm2d(4)


def standardised(x, layer, norm):
    weight = layer.weight - layer.weight.mean()
    return norm(F.conv2d(x, weight, layer.bias, padding=1))


def without_a_bias(x, layer, norm):
    return norm(F.conv2d(x, layer.weight, padding=1))


STAY = {
    "its input is read by two": Parts(
        lambda x, c, n: n(y := c(x)) + y, conv(3, 4), bn()
    ),
    "its input is a result": Parts(lambda x, c, n: (n(y := c(x)), y), conv(3, 4), bn()),
    "norms apart on one layer": Parts(
        lambda x, c, n, m: n(c(x)) + m(c(x)), conv(3, 4), bn(), bn()
    ),
    "one norm on layers": Parts(
        lambda x, c, d, n: n(c(x)) + n(d(x)), conv(3, 4), conv(3, 4), bn()
    ),
    "one layer, once without": Parts(lambda x, c, n: n(c(x)) + c(x), conv(3, 4), bn()),
    "before the layer": nn.Sequential(nn.BatchNorm2d(3), conv(3, 4)),
    "behind relu": nn.Sequential(conv(3, 4), nn.ReLU(), bn()),
    "a weight that is computed": Parts(standardised, conv(3, 4), bn()),
    "group norm": nn.Sequential(conv(3, 4), nn.GroupNorm(2, 4)),
    "of the batch": nn.Sequential(
        conv(3, 4), nn.BatchNorm2d(4, track_running_stats=False)
    ),
    "weight norm": nn.Sequential(
        nn.utils.parametrizations.weight_norm(conv(3, 4)), bn()
    ),
    "transposed in groups": nn.Sequential(
        nn.ConvTranspose2d(3, 3, 2, groups=3), nn.BatchNorm2d(3)
    ),
}


@pytest.mark.parametrize("name", STAY)
def test_what_cannot_be_folded_stays(name):
    assert folds(STAY[name]) == []


def test_a_pair_that_is_called_again_is_folded_once():
    model = Parts(lambda x, c, n: n(c(x)) + n(c(2 * x)), conv(3, 4), bn())
    found = folds(model)
    assert [(f.layer.module, f.norm.module) for f in found] == [("parts.0", "parts.1")]
    wanted = model(images()).detach()
    fold_(model, found)
    assert isinstance(model.parts[1], nn.Identity)
    assert torch.allclose(model(images()), wanted, atol=1e-5)


def test_norms_behind_a_linear_layer_on_tokens_are_on_another_axis():
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6))
    assert folds(model, images(2, 6, 6)) == []
    assert len(folds(model, images(2, 6))) == 1


class Padded(nn.Conv2d):
    """As layers that pad as TensorFlow does: the rest is torch's."""

    def forward(self, x):
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class NoBias(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, self.weight)


class TwoInputs(nn.Conv2d):
    def forward(self, x, y):
        return super().forward(x + y)


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_of_another_class_is_folded_if_it_adds_a_bias(bias):
    padded = nn.Sequential(Padded(3, 4, 2, bias=bias), bn())
    wanted = randomized(padded)(images()).detach()
    fold_(padded, folds(padded))
    assert isinstance(padded[1], nn.Identity)
    assert torch.allclose(padded(images()), wanted, atol=1e-5)
    for layer in (NoBias(3, 4, 1, bias=bias), TwoInputs(3, 4, 1, bias=bias)):
        model = Parts(
            lambda x, c, n: n(c(x, x) if isinstance(c, TwoInputs) else c(x)),
            layer,
            bn(),
        )
        before = layer.bias
        assert folds(model) == []
        assert layer.bias is before


def test_values_along_an_axis():
    values = torch.tensor([1.0, 2.0])
    assert along(values, 1, torch.zeros(3, 2, 5)).tolist() == [[[1.0], [2.0]]]


def tie(layer, other, *names):
    for name in names:
        setattr(layer, name, getattr(other, name))
    return layer


def wide(**kwargs):
    return conv(4, 4, **kwargs)


class Aside(nn.Module):
    """Holds a parameter in its own name, and does not run."""

    def __init__(self, weight):
        super().__init__()
        self.table = weight


first, second = wide(), wide()
ROWS = torch.arange(2)
TIED = {
    "transposed": (
        Parts(
            lambda x, c, n: F.conv2d(n(c(x)), c.weight.transpose(0, 1)), wide(), bn()
        ),
        "the weight of 'parts.0:conv' is also read by ':conv'",
    ),
    "an attribute of the tensor": (
        Parts(
            lambda x, c, n: n(c(x)) + c.weight.mT.sum() + c.weight.data.sum(),
            wide(),
            bn(),
        ),
        "the weight of 'parts.0:conv' is also read by ':sum'",
    ),
    "plain arithmetic": (
        Parts(lambda x, c, n: n(c(x)) + c.bias.view(-1, 1, 1) * x, wide(), bn()),
        "the bias of 'parts.0:conv' is also read by ':mul'",
    ),
    "a number": (
        Parts(
            lambda x, c, n: n(c(x)) * abs(c.weight[0, 0, 0, 0].item()),
            wide(),
            bn(),
        ),
        "the weight of 'parts.0:conv' is also read by ':item'",
    ),
    "a list": (
        Parts(lambda x, c, n: n(c(x)) * c.bias.tolist()[0], wide(), bn()),
        "the bias of 'parts.0:conv' is also read by ':tolist'",
    ),
    "an embedding": (
        Parts(
            lambda x, c, n: n(c(x[:, :, 0, 0])) + F.embedding(ROWS, c.weight),
            nn.Linear(4, 4),
            nn.BatchNorm1d(4),
        ),
        "the weight of 'parts.0:linear' is also read by ':embedding'",
    ),
    "two layers with one weight": (
        Parts(
            lambda x, c, n, d: n(c(x)) + d(x),
            *(first, bn(), tie(wide(), first, "weight")),
        ),
        "the weight of 'parts.0:conv' is also read by 'parts.2:conv'",
    ),
    "two layers with one bias and a norm each": (
        Parts(
            lambda x, c, n, d, m: n(c(x)) + m(d(x)),
            *(second, bn(), tie(wide(), second, "bias"), bn()),
        ),
        "the bias of 'parts.0:conv' is also read by 'parts.2:conv'",
    ),
    "a result": (
        Parts(lambda x, c, n: (n(c(x)), c.weight), wide(), bn()),
        "also read by the caller, to whom the model returns it",
    ),
    "what does not run": (
        Parts(lambda x, c, n, _: n(c(x)), first := wide(), bn(), Aside(first.weight)),
        "also read by 'parts.2', which holds it too",
    ),
    "other parameters in the same memory": (
        Parts(
            lambda x, c, n, d: n(c(x)) + d(x),
            *(second := wide(), bn(), wide()),
        ),
        "the weight of 'parts.0:conv' is also read by 'parts.2:conv'",
    ),
    "a norm whose statistics are read": (
        Parts(lambda x, c, n: n(c(x)) * n.running_var.view(-1, 1, 1), wide(), bn()),
        "what 'parts.1:norm' holds is also read by ':mul'",
    ),
    "a skipped norm": (
        Parts(lambda x, c, n: n(y := c(x)) + y, wide(), bn()),
        "what 'parts.0:conv' makes is also read by ':add'",
    ),
    "a norm behind some calls of a layer": (
        Parts(lambda x, c, n: n(c(x)) + c(2 * x), wide(), bn()),
        "the norm is called 1 times, 'parts.0' 2 times, and 1 times one behind",
    ),
}
TIED["other parameters in the same memory"][0].parts[2].weight = nn.Parameter(
    second.weight.data
)


@pytest.mark.parametrize("name", TIED)
def test_what_others_read_is_not_changed_and_it_is_told(name):
    model, reason = TIED[name]
    randomized(model)
    x = images(2, 4, 5, 5) if name != "an embedding" else images(2, 4, 1, 1)
    found = foldable(model, flow_of(model, x))
    assert found.folds == []
    assert any(reason in why for why in found.kept.values()), found.kept


def test_a_norm_may_share_its_factors_with_another_one():
    model = Parts(
        lambda x, c, n, d, m: m(d(n(c(x)).relu())),
        *(conv(3, 4), bn(), conv(4, 4), bn()),
    )
    randomized(model)
    model.parts[3].weight = model.parts[1].weight
    wanted = model(images()).detach()
    found = folds_of(model, flow_of(model, images()))
    assert len(found) == 2
    fold_(model, found[:1])
    assert torch.allclose(model(images()), wanted, atol=1e-5)
    fold_(model, found[1:])
    assert torch.allclose(model(images()), wanted, atol=1e-5)


class Alike(nn.Module):
    """Two containers of the same layers, and a list that torch knows nothing of."""

    def __init__(self):
        super().__init__()
        self.one = nn.Sequential(wide(), bn())
        self.two = nn.ModuleDict({"layer": self.one[0], "norm": self.one[1]})
        self.norms = [self.one[1]]

    def forward(self, x):
        y = self.two["norm"](self.two["layer"](self.one(x)))
        return self.norms[0](self.one[0](y))


def test_a_norm_that_several_hold_is_folded_for_all_of_them():
    model, x = randomized(Alike()), images(2, 4, 5, 5)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wanted = model(x).detach()
    folds = folds_of(model, flow_of(model, x))
    assert len(folds) == 1
    norms = norms_of(model, folds)
    fold_(model, folds)
    assert isinstance(model.two["norm"], nn.Identity)
    assert torch.allclose(model(x), wanted, atol=1e-5)
    accept_float_weights_(model, norms)
    assert len(state) == 14  # each layer under both of its names
    model.load_state_dict(state)
    assert torch.allclose(model(x), wanted, atol=1e-5)
