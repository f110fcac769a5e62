from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmrazor.apis.training_step import loss_of, training_mode, training_trial
from mmrazor.core.graph import example_inputs
from mmrazor.models.architectures import build_architecture
from tests.tiny_models import TINY, detector


class Net(BaseModel):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 3).requires_grad_(False)
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)
        self.noise = torch.ones(width)

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = "tensor"):
        inputs = torch.stack(list(inputs))
        x = self.drop(self.norm(self.stem(inputs)))
        x = x + self.noise if self.training else x
        return {"loss": x.sum()} if mode == "loss" else x


def test_everything_comes_back() -> None:
    net = Net().eval()
    net.norm.train()
    before = net.norm.running_mean.clone()
    with torch.no_grad(), training_mode(net):
        assert net.training
        assert not net.norm.training
        assert not net.drop.training
        loss_of(net, {"inputs": torch.rand(1, 3)}).backward()
    assert net.stem.weight.grad is not None
    assert not net.training
    assert net.norm.training
    assert not net.stem.weight.requires_grad
    assert net.norm.weight.requires_grad
    assert torch.equal(net.norm.running_mean, before)


@pytest.mark.parametrize("scope", TINY)
def test_models_of_the_hosts_take_a_step(scope: str) -> None:
    pytest.importorskip("mmcv")
    model = build_architecture(TINY[scope]())
    trial, reason = training_trial(model, example_inputs(model, (64, 64)))
    assert reason == ""
    assert trial is not None
    trial(model)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_does_not_train_is_told_apart() -> None:
    inputs = {"inputs": torch.rand(1, 3), "data_samples": ["a"], "mode": "tensor"}
    trial, reason = training_trial(Net(), inputs)
    assert (reason, trial is None) == ("", False)
    assert trial is not None
    with pytest.raises(RuntimeError, match="must match the size"):
        trial(Net(width=2))
    trial, reason = training_trial(Net(width=2), inputs)
    assert trial is None
    assert reason.startswith("the example inputs do not train it: RuntimeError: The")
    assert training_trial(nn.Linear(3, 3), (torch.rand(1, 3),)) == (
        None,
        "Linear has no loss mode",
    )
    trial, _ = training_trial(Net(), {**inputs, "mode": "loss"})
    assert trial is not None


def test_frozen_stages_of_a_detector_have_gradients_for_the_time() -> None:
    pytest.importorskip("mmdet")
    cfg = detector()
    cfg["backbone"]["frozen_stages"] = 2
    model = build_architecture(cfg)
    inputs = example_inputs(model, (64, 64))
    with training_mode(model):
        losses = model(**{**inputs, "mode": "loss"})
        model.parse_losses(losses)[0].backward()
    assert model.backbone.layer1[0].conv1.weight.grad is not None
    assert not model.backbone.layer1[0].conv1.weight.requires_grad
