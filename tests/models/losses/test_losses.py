"""Each loss against its paper's formula, written out plainly."""

import math

import pytest
import torch

from mmrazor.models import losses as package
from mmrazor.models.losses import (
    ChannelWiseDivergence,
    DistillLoss,
    KDSoftCELoss,
    KLDivergence,
    L2Loss,
    LossInputError,
)

LOSSES = [
    c
    for c in vars(package).values()
    if isinstance(c, type) and issubclass(c, DistillLoss) and c is not DistillLoss
]


def softmax(values):
    exp = [math.exp(v) for v in values]
    return [e / sum(exp) for e in exp]


def divergence(student, teacher, tau):
    p = softmax([v / tau for v in teacher])
    q = softmax([v / tau for v in student])
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    shape = (3, 4)
    make = lambda: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return make(), make()


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_kl_divergence(logits, tau):
    student, teacher = logits
    expected = sum(
        tau**2 * divergence(s, t, tau)
        for s, t in zip(student.tolist(), teacher.tolist(), strict=True)
    ) / len(student)
    loss = KLDivergence(tau=tau, loss_weight=3.0)(student, teacher)
    assert float(loss) == pytest.approx(3 * expected, rel=1e-9)


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_soft_cross_entropy(logits, tau):
    student, teacher = logits
    expected = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p = softmax([v / tau for v in t])
        q = softmax([v / tau for v in s])
        expected -= tau**2 * sum(a * math.log(b) for a, b in zip(p, q, strict=True)) / 3
    loss = KDSoftCELoss(tau=tau)(student, teacher)
    assert float(loss) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_soft_cross_entropy_has_the_gradient_of_kl(logits, tau):
    grads = []
    for loss in (KLDivergence(tau), KDSoftCELoss(tau)):
        student = logits[0].clone().requires_grad_()
        loss(student, logits[1]).backward()
        grads.append(student.grad)
    torch.testing.assert_close(*grads)


def test_channel_wise_divergence():
    generator = torch.Generator().manual_seed(0)
    B, C, H, W, tau = 2, 3, 2, 2, 4.0
    student, teacher = torch.randn(2, B, C, H, W, generator=generator).double()
    expected = 0.0
    for b in range(B):
        for c in range(C):
            s, t = student[b, c].flatten().tolist(), teacher[b, c].flatten().tolist()
            expected += tau**2 / C * divergence(s, t, tau) / B
    loss = ChannelWiseDivergence(tau=tau, loss_weight=0.5)(student, teacher)
    assert float(loss) == pytest.approx(0.5 * expected, rel=1e-9)


def test_l2_loss_by_hand():
    student, teacher = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2)
    assert float(L2Loss()(student, teacher)) == (1 + 4 + 9 + 16) / 4 / 2
    assert float(L2Loss("batchmean")(student, teacher)) == (1 + 4 + 9 + 16) / 2 / 2


@pytest.mark.parametrize("loss", [ChannelWiseDivergence(), L2Loss()])
def test_teacher_map_of_another_size_is_resized(loss):
    student = torch.rand(1, 2, 4, 4)
    teacher = torch.full((1, 2, 8, 8), 0.5)
    resized = torch.full((1, 2, 4, 4), 0.5)
    assert torch.equal(loss(student, teacher), loss(student, resized))


@pytest.mark.parametrize("kind", LOSSES)
def test_every_loss(kind):
    student = torch.randn(2, 3, 4, 4, requires_grad=True)
    teacher = torch.randn(2, 3, 4, 4, requires_grad=True)
    if kind is KDSoftCELoss:
        student, teacher = (
            v.detach()[..., 0, 0].requires_grad_() for v in (student, teacher)
        )
    loss = kind(loss_weight=2.0)
    value = loss(student, teacher)
    assert value.shape == ()
    assert torch.isfinite(value)
    value.backward()
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
    torch.testing.assert_close(value, 2 * kind()(student, teacher))
    same = float(kind()(student, student)) - (
        float(kind()(student, student.detach())) if kind is KDSoftCELoss else 0.0
    )
    assert same == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
def test_every_loss_refuses_other_channels(kind):
    with pytest.raises(
        LossInputError, match="student has shape .* teacher .*connector"
    ):
        kind()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4, 4))


def test_values_that_are_no_maps():
    with pytest.raises(LossInputError, match="compares maps"):
        ChannelWiseDivergence()(torch.zeros(2, 3), torch.zeros(2, 3))


@pytest.mark.parametrize("kind", [KLDivergence, KDSoftCELoss, ChannelWiseDivergence])
def test_bad_temperature(kind):
    with pytest.raises(ValueError, match="tau is 0; a temperature is above 0"):
        kind(tau=0)


def test_bad_reduction():
    with pytest.raises(ValueError, match="use 'mean' or 'batchmean'"):
        L2Loss(reduction="sum")
