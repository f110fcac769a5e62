from __future__ import annotations

import pytest
import torch
from torch import nn

from mmrazor.models.mutables import FixedValue, MutableDepth, MutableValue


def test_the_first_blocks_run() -> None:
    torch.manual_seed(0)
    blocks = nn.Sequential(*[nn.Linear(3, 3) for _ in range(4)])
    stage = MutableDepth(blocks, [0, 2, 4], name="depth")
    value = torch.rand(2, 3)
    assert stage.choices()[0].selected == 4
    assert list(stage.state_dict()) == list(blocks.state_dict())
    for depth in (0, 2, 4):
        stage.choices()[0].selected = depth
        wanted = blocks[:depth](value)
        assert torch.equal(stage(value), wanted)
        assert torch.equal(stage.fix()(value), wanted)
        assert len(stage.fix()) == depth


@pytest.mark.parametrize("depths", [[], [3], [-1], ["two"]])
def test_wrong_depths(depths: list) -> None:
    with pytest.raises(ValueError, match="numbers of blocks to keep, from 0 to 2"):
        MutableDepth([nn.Identity(), nn.Identity()], depths)


def test_a_value_is_read_by_calling_it() -> None:
    value = MutableValue([2, 4], name="heads")
    assert value() == 2
    value.choices()[0].selected = 4
    fixed = value.fix()
    value.choices()[0].selected = 2
    assert isinstance(fixed, FixedValue)
    assert (value(), fixed(), repr(fixed)) == (2, 4, "FixedValue(4)")
