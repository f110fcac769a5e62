"""Network Slimming against equation 1 of its paper."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from mmrazor.models.algorithms import Algorithm, NetworkSlimming

PRUNER = dict(
    budget=dict(macs=0.5),
    image_size=(8, 8),
    schedule=dict(type="LinearSchedule", begin=3, end=3),
)
DATA = dict(inputs=torch.randn(4, 3, 8, 8), data_samples=[0, 1, 2, 3])


class Net(BaseModel):
    def __init__(self, norm=nn.BatchNorm2d):
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv2d(3, 6, 3, padding=1)
        self.na = norm(6)
        self.b = nn.Conv2d(6, 8, 3, padding=1)
        self.nb = norm(8)
        self.head = nn.Linear(8, 4)
        self.logits = norm(4) if norm is nn.Identity else nn.BatchNorm1d(4)
        with torch.no_grad():
            for layer in (self.na, self.nb, self.logits):
                if isinstance(layer, nn.modules.batchnorm._NormBase):
                    layer.weight.uniform_(-1, 1)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        x = self.nb(self.b(self.na(self.a(inputs)).relu())).relu()
        logits = self.logits(self.head(x.mean((2, 3))))
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, torch.tensor(data_samples))}
        return logits


def slimming(weight=0.1, net=Net, **pruner):
    settings = dict(type="Pruner", **{**PRUNER, **pruner})
    return NetworkSlimming(net(), pruner=settings, sparsity_weight=weight)


def gradients(algorithm):
    algorithm.zero_grad()
    losses = algorithm(**DATA, mode="loss")
    sum(losses.values()).backward()
    return losses, {n: p.grad for n, p in algorithm.architecture.named_parameters()}


def test_loss_and_gradients_are_those_of_equation_1():
    algorithm, plain = slimming(0.1), Algorithm(Net())
    losses, found = gradients(algorithm)
    task, expected = gradients(plain)
    net = algorithm.architecture
    # the norm behind the head makes the network's output, which is not prunable
    penalty = net.na.weight.abs().sum() + net.nb.weight.abs().sum()
    torch.testing.assert_close(losses["loss_sparsity"], 0.1 * penalty)
    assert torch.equal(losses["loss"], task["loss"])
    for name, gradient in expected.items():
        extra = 0.0
        if name in ("na.weight", "nb.weight"):  # the subgradient of 0.1 |gamma|
            extra = 0.1 * net.get_parameter(name).detach().sign()
        torch.testing.assert_close(found[name], gradient + extra)


def test_training_makes_scales_small_and_the_smallest_go():
    algorithm = slimming(0.5)
    algorithm.prepare_pruning()
    algorithm.pruner.driven = True
    optim = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=0.05))
    before = sum(s.abs().sum() for s in algorithm.scales())
    for _ in range(10):
        algorithm.train_step(DATA, optim)
    assert sum(s.abs().sum() for s in algorithm.scales()) < before
    scales = [s.detach().abs() for s in algorithm.scales()]
    step = algorithm.next_step(1.0, 3)
    algorithm.shrink_(step.cuts)
    algorithm.pruner.take_(step.state)
    kept = [s.detach().abs() for s in algorithm.scales()]
    assert sum(map(len, kept)) < 14
    for all_of_layer, left in zip(scales, kept, strict=True):
        largest = all_of_layer.sort().values[-len(left) :]
        assert torch.equal(left.sort().values, largest)


def test_the_penalty_ends_with_the_pruning():
    algorithm = slimming()
    step = algorithm.next_step(1.0, 3)
    algorithm.shrink_(step.cuts)
    assert "loss_sparsity" in algorithm(**DATA, mode="loss")
    algorithm.pruner.take_(step.state)
    assert "loss_sparsity" not in algorithm(**DATA, mode="loss")
    assert torch.is_tensor(algorithm(**DATA))


def test_a_teacher_may_help():
    algorithm = NetworkSlimming(
        Net(),
        pruner=dict(type="Pruner", **PRUNER),
        teacher=Net(),
        distiller=dict(
            losses=dict(
                kd=dict(
                    type="KLDivergence", student="output:head", teacher="output:head"
                )
            )
        ),
    )
    losses = algorithm(**DATA, mode="loss")
    assert set(losses) == {"loss", "loss_sparsity", "distill.loss_kd"}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (dict(schedule=None), "schedule=dict.*begin=80"),
        (dict(weight=-1), "sparsity_weight=-1"),
        (dict(net=lambda: Net(nn.Identity)), "passes a norm with a scale"),
    ],
)
def test_bad_settings(arguments, text):
    with pytest.raises(ValueError, match=text):
        slimming(**arguments)
