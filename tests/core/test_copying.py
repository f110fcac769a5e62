"""A copy of a module is what copy.deepcopy makes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.copying import copied


class Stubborn(nn.Module):
    """Is copied in its own way."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Stubborn:
        new = Stubborn()
        new.told = True
        return new


class Reader(nn.Module):
    """Holds all kinds of attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.same = self.fc
        self.tied = nn.Linear(3, 3)
        self.tied.weight = self.fc.weight
        self.stubborn = Stubborn()
        self.register_buffer("table", torch.arange(3.0), persistent=False)
        self.plain = {"layers": [self.fc], "sizes": (1, [2]), "owner": self}
        self.empty: list[int] = []
        self.empty_too = self.empty
        self.fc.register_forward_hook(self.hooked)
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)

    def hooked(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return output + self.frozen


def check(new: Reader, old: Reader) -> None:
    assert type(new) is Reader
    assert new.plain["owner"] is new
    assert new.same is new.fc is new.plain["layers"][0]
    assert new.fc is not old.fc
    assert new.tied.weight is new.fc.weight
    assert new.fc.weight is not old.fc.weight
    assert new.stubborn.told
    assert new.plain["sizes"] == (1, [2])
    assert new.plain["sizes"][1] is not old.plain["sizes"][1]
    assert new.empty is new.empty_too
    assert new.empty is not old.empty
    assert list(new.state_dict()) == list(old.state_dict())
    assert not new.frozen.requires_grad
    assert new.fc.training == old.fc.training
    (hook,) = new.fc._forward_hooks.values()
    assert hook.__self__ is new
    new.fc.register_forward_pre_hook(lambda *_: None)
    assert not old.fc._forward_pre_hooks


def test_copies_are_those_of_deepcopy() -> None:
    old = Reader()
    old.fc.eval()
    check(copied(old, {}), old)
    check(copy.deepcopy(old), old)  # so the expectations are right


def test_what_is_known_is_taken() -> None:
    old = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    weight = nn.Parameter(torch.zeros(1, 2))
    new = copied(old, {id(old[0].weight): weight})
    assert new[0].weight is weight
    assert torch.equal(new[0].bias, old[0].bias)
    assert new[0].bias is not old[0].bias


class Keeps(nn.Module):
    """Keeps what it computes with gradients: as it is, in containers, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.scaled = self.fc.weight * 2
        self.kept: dict[str, Any] = {"first": [self.scaled, (self.scaled[0],)]}
        self.register_buffer("table", self.fc.bias * 3)


def test_what_has_a_graph_is_copied_without_it() -> None:
    layer = Keeps()
    with pytest.raises(RuntimeError, match="deepcopy protocol"):
        copy.deepcopy(layer)  # so there is something to show
    new = copied(layer)
    for old, twin in (
        (layer.scaled, new.scaled),
        (layer.table, new.table),
        (layer.kept["first"][1][0], new.kept["first"][1][0]),
    ):
        assert torch.equal(old, twin)
        assert twin is not old
        assert not twin.requires_grad
        assert old.requires_grad
    assert new.kept["first"][0] is new.scaled
    new.scaled[0] = 7  # the row that is kept is a view of it, in the copy as well
    assert new.kept["first"][1][0].tolist() == [7, 7]
    assert layer.scaled[0].tolist() != [7, 7]
    assert new.fc.weight.requires_grad


def test_weights_that_are_computed_before_each_forward() -> None:
    old = torch.nn.utils.weight_norm(nn.Linear(3, 4))
    new, x = copied(old), torch.rand(2, 3)
    assert torch.equal(new(x), old(x))
    new.weight_g.data.mul_(2)
    assert torch.allclose(new(x) - new.bias, 2 * (old(x) - old.bias))
