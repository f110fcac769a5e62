"""Group Fisher Pruning: what the shorthand stands for, and a run step by step."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from mmrazor.models.algorithms.pruning.group_fisher import GroupFisher

DATA = dict(
    inputs=torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)),
    data_samples=[0, 1, 2, 3],
)


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv2d(3, 6, 3, padding=1)
        self.na = nn.BatchNorm2d(6)
        self.b = nn.Conv2d(6, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs, data_samples=None, mode="tensor", mask=1.0):
        x = self.na(self.a(inputs)).relu()
        logits = self.head(self.b(x * mask).relu().mean((2, 3)))
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, torch.tensor(data_samples))}
        return logits


def fisher(schedule, **kwargs):
    settings = dict(type="Pruner", budget=dict(macs=0.5), image_size=(8, 8))
    settings.update(schedule=schedule, **kwargs.pop("pruner", {}))
    return GroupFisher(Net(), pruner=settings, **kwargs)


def test_what_it_stands_for():
    pruner = fisher(dict(end=100)).pruner
    assert str(pruner.schedule) == "LinearSchedule(0 to 100 iterations, every 25)"
    assert (pruner.num_batches, pruner.importance.normalize) == (25, "macs")
    given = dict(importance=dict(type="FisherImportance", normalize="activations"))
    schedule = dict(type="CubicSchedule", begin=10, end=50)
    pruner = fisher(schedule, interval=10, pruner=given).pruner
    assert str(pruner.schedule) == "CubicSchedule(10 to 50 iterations, every 10)"
    assert (pruner.num_batches, pruner.importance.normalize) == (10, "activations")


def test_channels_of_least_squares_by_mac_go():
    algorithm = fisher(dict(end=4), interval=2)
    pruner, net = algorithm.pruner, algorithm.architecture
    optimizer = torch.optim.SGD(algorithm.parameters(), lr=0.0)
    optimizer.register_step_pre_hook(lambda *_: pruner.scores.add_())
    algorithm.prepare_pruning()
    pruner.driven = True
    pruner.start_scoring_(net)
    optim = OptimWrapper(optimizer)
    for _ in range(2):
        algorithm.train_step(DATA, optim)
    graph, _, inputs = pruner._traced(net)
    score = pruner.scores.scorer(graph, inputs)
    found = {group.name: score(group) for group in graph.groups}
    # with lr 0 both steps are the same
    mask = torch.ones(4, 6, 1, 1, requires_grad=True)
    loss = net(**DATA, mode="loss", mask=mask)["loss"]
    (gradient,) = torch.autograd.grad(loss, mask)
    expected = 2 * gradient.square().sum(0).flatten().double()
    saved = 64 * 9 * 3 + 64 * 9 * 8
    torch.testing.assert_close(found["a.out"], expected / saved, rtol=1e-4, atol=0)
    step = algorithm.next_step(pruner.schedule.share(2), 2)
    kept, dropped = [], []
    for name, scores in found.items():
        stays = torch.zeros(len(scores), dtype=torch.bool)
        stays[step.state.kept[name]] = True
        kept.append(scores[stays])
        dropped.append(scores[~stays])
    assert min(map(len, kept)) > 0
    assert len(torch.cat(dropped)) >= 2
    # one threshold over all groups; what still fits the budget then is put back
    assert int((torch.cat(kept) < torch.cat(dropped).max()).sum()) <= 1
    for stay, go in zip(kept, dropped, strict=True):
        assert not len(go) or go.max() < stay.min()


def test_a_teacher_may_help():
    losses = dict(
        kd=dict(type="KLDivergence", student="output:head", teacher="output:head")
    )
    algorithm = fisher(
        dict(end=100), teacher=Net(), distiller=dict(losses=losses), interval=10
    )
    assert set(algorithm(**DATA, mode="loss")) == {"loss", "distill.loss_kd"}


@pytest.mark.parametrize(
    ("schedule", "pruner", "text"),
    [
        (None, {}, r"schedule=dict\(end=20000\)"),
        (dict(begin=3), {}, r"schedule=dict\(end=20000\)"),
        (dict(end=3, by_epoch=True), {}, "not epochs.*mmrazor.Compress"),
        (dict(end=30, interval=0), {}, "num_batches=0 must be at least 1"),
        (dict(end=30), dict(importance="L1Importance"), "has importance=L1Importance"),
    ],
)
def test_bad_settings(schedule, pruner, text):
    with pytest.raises(ValueError, match=text):
        fisher(schedule, pruner=pruner)
