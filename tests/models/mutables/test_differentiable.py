from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrazor.models.mutables import DiffMutableOP, GumbelMutableOP, OneHotMutableOP

KINDS = [DiffMutableOP, GumbelMutableOP, OneHotMutableOP]
ALPHA = torch.tensor([0.3, -1.2, 0.9])


def candidates() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "a": nn.Linear(3, 3),
        "b": nn.Sequential(nn.Tanh()),
        "none": nn.Linear(3, 3),
    }


def with_alpha(kind: type, **options: object) -> nn.Module:
    op = kind(candidates(), name="op", **options)
    op.alpha.data = ALPHA.clone()
    return op


def outputs(op: nn.Module, value: Tensor) -> Tensor:
    return torch.stack([op.candidates[name](value) for name in ("a", "b", "none")])


def test_softmax_weighs_all() -> None:
    op, value = with_alpha(DiffMutableOP), torch.rand(2, 3)
    exp = [float(torch.exp(a)) for a in ALPHA]
    wanted = sum(
        e / sum(exp) * out for e, out in zip(exp, outputs(op, value), strict=True)
    )
    torch.testing.assert_close(op(value), wanted)


def test_softmax_gradient_of_alpha() -> None:
    op, value = with_alpha(DiffMutableOP), torch.rand(2, 3)
    op(value).sum().backward()
    p, y = torch.softmax(ALPHA, 0), outputs(op, value).sum((1, 2)).detach()
    torch.testing.assert_close(op.alpha.grad, p * (y - (p * y).sum()))


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_weights_in_training(hard: bool) -> None:
    op, value = with_alpha(GumbelMutableOP, tau=0.7, hard=hard), torch.rand(2, 3)
    torch.manual_seed(1)
    out = op(value)
    torch.manual_seed(1)
    noise = -torch.log(torch.empty(3).exponential_())
    soft = torch.softmax((ALPHA + noise) / 0.7, 0)
    weights = functional.one_hot(soft.argmax(), 3).float() if hard else soft
    y = outputs(op, value)
    torch.testing.assert_close(out, (weights[:, None, None] * y).sum(0))
    out.sum().backward()
    # straight through: the gradient is that of the soft weights
    y = y.sum((1, 2)).detach()
    torch.testing.assert_close(op.alpha.grad, soft * (y - (soft * y).sum()) / 0.7)


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_has_no_noise_in_eval_mode(hard: bool) -> None:
    op, value = with_alpha(GumbelMutableOP, tau=0.7, hard=hard).eval(), torch.rand(2, 3)
    weights = torch.softmax(ALPHA / 0.7, 0)
    weights = torch.tensor([0.0, 0.0, 1.0]) if hard else weights
    wanted = (weights[:, None, None] * outputs(op, value)).sum(0)
    torch.testing.assert_close(op(value), wanted)


def test_temperatures() -> None:
    op = with_alpha(GumbelMutableOP, tau=(4.0, 1.0))
    found = []
    for share in (0.0, 0.5, 1.0):
        op.anneal_(share)
        found.append(op.tau)
    assert found == pytest.approx([4.0, 2.0, 1.0])
    for tau in (0.0, (1.0, -1.0), (1.0, 2.0, 3.0)):
        with pytest.raises(ValueError, match="must be a temperature above 0"):
            GumbelMutableOP(candidates(), tau=tau)


@pytest.mark.parametrize("name", ["a", "b", "none"])
def test_one_hot_runs_one_and_has_the_gradient_of_dsnas(name: str) -> None:
    op, value = with_alpha(OneHotMutableOP), torch.rand(2, 3)
    op.choices()[0].selected = name
    target = torch.rand(2, 3)
    out = op(value)
    torch.testing.assert_close(out, op.candidates[name](value))
    (out - target).square().sum().backward()
    # sum(y dL/dy) d log p(selected) / d alpha, with d log p_k / d alpha = e_k - p
    y = op.candidates[name](value).detach()
    reward = (y * 2 * (y - target)).sum()
    chosen = torch.tensor([float(name == key) for key in op.candidates])
    wanted = reward * (chosen - torch.softmax(ALPHA, 0))
    torch.testing.assert_close(op.alpha.grad, wanted)
    others = [m for key, m in op.candidates.items() if key != name]
    assert all(p.grad is None for m in others for p in m.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_derived_and_drawn(kind: type) -> None:
    op = with_alpha(kind)
    p = torch.softmax(ALPHA, 0).tolist()
    assert op.derived() == {"op": "none"}
    assert op.strength() == pytest.approx(p[2])
    op = with_alpha(kind, never=("none",))
    assert op.derived() == {"op": "a"}
    assert op.strength() == pytest.approx(p[0])
    rng = np.random.default_rng(0)
    drawn = Counter(op.drawn(rng)["op"] for _ in range(3000))
    assert [drawn[key] / 3000 for key in op.candidates] == pytest.approx(p, abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_it_becomes_the_selected_one(kind: type) -> None:
    op = with_alpha(kind)
    for name, module in op.candidates.items():
        op.choices()[0].selected = name
        assert op.fix() is module


@pytest.mark.parametrize("kind", KINDS)
def test_tied_ones_share_choice_and_alpha(kind: type) -> None:
    first, second = with_alpha(kind), kind(candidates(), name="other")
    second.tie_(first)
    assert second.choices()[0] is first.choices()[0]
    assert second.alpha is first.alpha
    assert [n for n, _ in second.named_parameters() if n == "alpha"] == ["alpha"]
    with pytest.raises(ValueError, match="cannot share the decision"):
        second.tie_(kind({"a": nn.Identity()}, name="less"))


@pytest.mark.parametrize("never", [("c",), ("a", "b", "none")])
def test_wrong_names_of_what_is_never_derived(never: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="must be some, not all, of the candidates"):
        DiffMutableOP(candidates(), never=never)
