from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from mmrazor.models.mutables import OneShotMutableOP, OneShotProbMutableOP
from mmrazor.registry import MODELS


def candidates() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {k: nn.Conv2d(2, 2, int(k[1]), padding=int(k[1]) // 2) for k in ("k1", "k3")}


@pytest.mark.parametrize("kind", [OneShotMutableOP, OneShotProbMutableOP])
def test_the_selected_one_runs_and_is_what_it_becomes(kind: type) -> None:
    more = (
        {"probabilities": dict(k1=0.5, k3=0.5)} if kind is OneShotProbMutableOP else {}
    )
    ops = candidates()
    op = kind(ops, name="op", **more)
    value = torch.rand(1, 2, 4, 4)
    for name, module in ops.items():
        op.choices()[0].selected = name
        assert op.fix() is module
        assert torch.equal(op(value), module(value))


def test_what_does_not_run_gets_no_gradient_and_no_step() -> None:
    ops = candidates()
    op = OneShotMutableOP(ops, name="op")
    optimizer = torch.optim.SGD(op.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    before = {k: v.clone() for k, v in op.state_dict().items()}
    for name in ("k3", "k3"):
        op.choices()[0].selected = name
        optimizer.zero_grad()
        op(torch.rand(1, 2, 4, 4)).sum().backward()
        optimizer.step()
    assert ops["k1"].weight.grad is None
    assert torch.equal(ops["k1"].weight, before["candidates.k1.weight"])
    assert not torch.equal(ops["k3"].weight, before["candidates.k3.weight"])
    assert len(optimizer.state) == 2


def test_candidates_take_any_arguments() -> None:
    class Add(nn.Module):
        def forward(self, a: torch.Tensor, *, b: torch.Tensor) -> torch.Tensor:
            return a + b

    op = OneShotMutableOP({"add": Add()})
    assert op(torch.ones(2), b=torch.ones(2)).tolist() == [2.0, 2.0]


def test_it_is_built_from_a_config() -> None:
    cfg = dict(
        type="mmrazor.OneShotMutableOP",
        name="body",
        candidates=dict(
            small=dict(type="MBBlock", in_channels=4, out_channels=4, expand_ratio=1),
            conv=dict(
                type="torch.nn.Conv2d", in_channels=4, out_channels=4, kernel_size=1
            ),
        ),
    )
    op = MODELS.build(cfg)
    assert op(torch.rand(1, 4, 4, 4)).shape == (1, 4, 4, 4)
    assert [choice.name for choice in op.choices()] == ["body"]
    assert op.choices()[0].values == ("small", "conv")


def test_draws_follow_the_probabilities() -> None:
    op = OneShotProbMutableOP(candidates(), dict(k3=0.8, k1=0.2), name="op")
    rng = np.random.default_rng(0)
    drawn = Counter(op.drawn(rng)["op"] for _ in range(2000))
    assert abs(drawn["k3"] / 2000 - 0.8) < 0.03
    plain = OneShotMutableOP(candidates(), name="op")
    drawn = Counter(plain.drawn(rng)["op"] for _ in range(2000))
    assert abs(drawn["k3"] / 2000 - 0.5) < 0.04


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="There are no candidates"):
        OneShotMutableOP({})
    for name in ("a.b", "keys", ""):
        with pytest.raises(ValueError, match=f"cannot be named '{name}'"):
            OneShotMutableOP({name: nn.Identity()})
    with pytest.raises(ValueError, match="given for \\['k1'\\] and candidates are"):
        OneShotProbMutableOP(candidates(), dict(k1=1.0))
    with pytest.raises(ValueError, match="their sum is 1.5"):
        OneShotProbMutableOP(candidates(), dict(k1=1.0, k3=0.5))
