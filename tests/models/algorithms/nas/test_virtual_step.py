"""The virtual step against torch's own, its gradient against the chain rule by hand."""

import itertools

import pytest
import torch

from mmrazor.models.algorithms.nas.virtual_step import sgd_step, unrolled_gradients

SETTINGS = [
    dict(momentum=m, weight_decay=w, nesterov=n, maximize=x, dampening=d)
    for m, w, n, x, d in itertools.product(
        (0, 0.9), (0, 0.1), (False, True), (False, True), (0, 0.3)
    )
    if not n or (m and not d)
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_is_the_step_that_sgd_takes(settings):
    torch.manual_seed(0)
    weight = torch.randn(5, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.3, **settings)
    for _ in range(3):
        weight.grad = torch.randn(5)
        buffer = optimizer.state[weight].get("momentum_buffer")
        found = sgd_step(
            weight.detach(), weight.grad, optimizer.param_groups[0], buffer
        )
        optimizer.step()
        torch.testing.assert_close(found, weight.detach())


def test_gradient_by_hand():
    # w' = w - r a w, with dL/dw = a w; val = w' b + a: d/da = -r w b + 1, d/db = w'
    w, a, b = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0, 5.0))
    unused = torch.tensor(1.0, requires_grad=True)
    r = 0.1
    grads, loss = unrolled_gradients(
        a * w**2 / 2,
        lambda moved: moved[0] * b + a + 0 * moved[1],
        [w, unused],
        [a, b],
        lambda i, g: (w, unused)[i].detach() - r * g,
    )
    assert [float(g) for g in grads] == pytest.approx([-r * 2 * 5 + 1, 2 - r * 6])
    assert float(loss) == pytest.approx((2 - r * 6) * 5 + 3)
    assert w.grad is None
    assert a.grad is None


def test_an_inner_problem_without_alphas_leaves_the_direct_part():
    w, a = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    grads, _ = unrolled_gradients(
        w * 4, lambda moved: moved[0] * a, [w], [a], lambda _, g: w.detach() - g
    )
    assert [float(g) for g in grads] == [2 - 4]
