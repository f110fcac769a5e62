"""Sites of the calls in a run, by the module that makes them."""

import contextlib

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmrazor.models.quantizers.sites import (
    Site,
    SiteMode,
    flat_tensors,
    with_tensors,
)


class Heard(SiteMode):
    """Writes down the sites of a run."""

    def __init__(self, model):
        super().__init__(model)
        self.sites = []

    def called(self, site, func, args, kwargs):
        self.sites.append(str(site))
        return func(*args, **kwargs)


def sites_of(model, *args):
    mode = Heard(model)
    with mode.following():
        model(*args)
    return mode.sites


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.relu = nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU()

    def forward(self, x):
        y = self.relu(self.one(x))
        return self.relu(self.two(y) + x) + x


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, x):
        return torch.sin(self.block(self.block(x)))


def test_a_block_that_is_called_again_has_the_same_sites():
    once = [
        "block.one:linear",
        "block.relu:clamp",
        "block.two:linear",
        "block:add",
        "block.relu:clamp.1",  # without state: a site for each of its calls
        "block:add.1",
    ]
    assert sites_of(Twice(), torch.rand(1, 2)) == once * 2


def test_a_run_leaves_no_hooks_also_if_it_fails():
    model = Twice()
    with pytest.raises(RuntimeError, match="shapes"):
        sites_of(model, torch.rand(1, 3))
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


class Caught(nn.Module):
    """Goes on where a part of it fails."""

    def __init__(self):
        super().__init__()
        self.part, self.other = nn.Sequential(nn.Linear(3, 2)), nn.Linear(2, 2)

    def forward(self, x):
        try:
            self.part(x)
        except RuntimeError:
            x = x + x
        return self.other(x)


def test_a_part_that_fails_is_left():
    found = sites_of(Caught(), torch.rand(1, 2))
    assert found == ["part.0:linear", ":add", "other:linear"]


def test_attention_is_seen_as_its_products():
    class Model(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    found = sites_of(Model(), torch.rand(1, 2, 3, 4))
    assert [site for site in found if "matmul" in site] == [":matmul", ":matmul.1"]


def test_a_shared_module_has_one_name():
    layer = nn.Linear(2, 2)
    found = sites_of(nn.Sequential(layer, nn.ReLU(), layer), torch.rand(1, 2))
    assert found == ["0:linear", "1:clamp", "0:linear"]


def test_tensors_of_a_call_in_order():
    x, y, z = torch.zeros(1), torch.ones(1), torch.full((1,), 2.0)
    args, kwargs = ([x, None, y], 3, "same"), dict(out=z, dim=0)
    assert flat_tensors(args, kwargs) == [x, y, z]
    seen = []

    def change(place, tensor):
        seen.append((place, tensor.item()))
        return tensor + 10

    new_args, new_kwargs = with_tensors(args, kwargs, change)
    assert seen == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert new_args == ([x + 10, None, y + 10], 3, "same")
    assert new_kwargs == dict(out=z + 10, dim=0)


def test_sites_sort_and_print():
    sites = [Site("b", "add"), Site("a", "conv", 1), Site("a", "conv")]
    assert [str(site) for site in sorted(sites)] == ["a:conv", "a:conv.1", "b:add"]


class Attempt(nn.Module):
    """Does without its first layer if that refuses."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        with contextlib.suppress(ValueError):
            x = self.first(x)
        return F.linear(self.last(x), self.last.weight)


def test_a_module_that_a_hook_of_others_refuses_is_not_left():
    def refuse(*_):
        raise ValueError

    model = Attempt()
    model.first.register_forward_pre_hook(refuse)  # before it is entered
    assert sites_of(model, torch.ones(1, 2)) == ["last:linear", ":linear"]
