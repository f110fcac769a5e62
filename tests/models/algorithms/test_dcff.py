"""DCFF with a teacher, and what it refuses."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from mmrazor.models.algorithms import DCFF
from mmrazor.models.ops import FuseConv2d
from mmrazor.models.pruners import PruningStateError


class Net(BaseModel):
    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Linear(width, 2)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        x = self.body(self.stem(inputs).relu()).relu()
        logits = self.head(x.mean((2, 3)))
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, data_samples)}
        return logits


PRUNER = dict(budget=dict(macs=0.5), image_size=(8, 8))
BATCH = {
    "inputs": torch.randn(4, 3, 8, 8),
    "data_samples": torch.tensor([0, 1, 0, 1]),
}


def distilled(source):
    kd = dict(type="L2Loss", student=source, teacher=source)
    return dict(
        teacher=dict(type=Net, pretrained=False), distiller=dict(losses=dict(kd=kd))
    )


def test_a_teacher_is_listened_to_through_fused_layers():
    model = DCFF(Net(), PRUNER, **distilled("output:head"))
    model.fuse_(*model.fusing_plan())
    model.pruner.driven = True
    assert isinstance(model.architecture.body, FuseConv2d)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    before = model.architecture.body.weight.clone()
    log = model.train_step(BATCH, wrapper)
    assert log["distill.loss_kd"].item() > 0
    changed = (model.architecture.body.weight != before).flatten(1).any(1)
    assert bool(changed.all())
    model.fix_()
    assert "distill.loss_kd" in model.train_step(BATCH, wrapper)


def test_a_loss_on_features_that_shrink_is_found_before():
    model = DCFF(Net(), PRUNER, **distilled("output:body"))
    with pytest.raises(ValueError, match="Pruning shrinks the student's 'output:body'"):
        model.fusing_plan()
    assert type(model.architecture.body) is nn.Conv2d


def test_training_without_the_hook_is_an_error():
    model = DCFF(Net(), PRUNER)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(RuntimeError, match="nothing fuses.*mmrazor.FuseFiltersHook"):
        model.train_step(BATCH, wrapper)


def test_another_pruner_is_refused():
    with pytest.raises(TypeError, match="DCFF fuses filters, which Pruner does not"):
        DCFF(Net(), dict(type="Pruner", **PRUNER))


def test_a_network_is_not_made_compact_twice():
    model = DCFF(Net(), PRUNER)
    model.fuse_(*model.fusing_plan())
    with pytest.raises(PruningStateError, match="its filters are fixed"):
        model.fusing_plan()
