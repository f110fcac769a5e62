"""A copy of a module is what copy.deepcopy makes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.graph.copying import copied


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


def test_what_is_not_leaf_is_refused_as_by_deepcopy() -> None:
    layer = nn.Linear(2, 2)
    layer.scaled = layer.weight * 2
    for copy_of in (copy.deepcopy, lambda module: copied(module, {})):
        with pytest.raises(RuntimeError, match="deepcopy protocol"):
            copy_of(layer)
