"""The door ``mmrazor.prune``: what comes out can be trained."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

import mmrazor


class Noisy(BaseModel):
    """Adds noise of a fixed width in training, which no trace of inference sees."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(8, 8)
        self.last = nn.Linear(8, 2)

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = "tensor"):
        x = self.first(inputs).relu()
        x = x + torch.ones(8) if self.training else x
        x = self.last(self.second(x).relu())
        return {"loss": x.square().sum()} if mode == "loss" else x


def test_what_breaks_training_stays() -> None:
    torch.manual_seed(0)
    inputs = {"inputs": torch.rand(1, 4), "data_samples": ["a"], "mode": "tensor"}
    pruned = mmrazor.prune(Noisy(), inputs, budget=dict(macs=0.7))
    assert pruned.model.first.out_features == 8
    assert pruned.model.last.in_features < 8
    assert pruned.unprunable["first.out"].startswith("breaks the model (RuntimeError")
    pruned.model.train()(**{**inputs, "mode": "loss"})["loss"].backward()
    # Without labels nothing can be tried.
    pruned = mmrazor.prune(Noisy(), inputs["inputs"], budget=dict(macs=0.7))
    assert "first.out" not in pruned.unprunable


class Sized(nn.Module):
    """Reads large images by another branch; trains with noise of a fixed width."""

    def __init__(self, noise: int = 0) -> None:
        super().__init__()
        self.stem, self.extra = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 12, 1)
        self.usual, self.mid = nn.Conv2d(8, 12, 1), nn.Conv2d(12, 10, 1)
        self.head = nn.Conv2d(10, 2, 1)
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x).relu()
        y = self.extra(y) if x.shape[-1] > 8 else self.usual(y)
        y = self.mid(y.relu()).relu()
        if self.training and self.noise:
            y = y + torch.rand(1, self.noise, 1, 1)
        return self.head(y)


def test_several_example_inputs() -> None:
    little, large = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 16, 16)
    model = Sized()
    pruned = mmrazor.prune(model, [little, large], budget=dict(macs=0.5))
    assert pruned.model.extra.out_channels == pruned.model.usual.out_channels < 12
    assert pruned.max_difference < 1e-5
    pruned.model(large)
    # what is counted is the first
    assert pruned.dense_cost.macs == mmrazor.count_cost(model, little).macs
    counted = mmrazor.count_cost(pruned.model, [little, large]).macs
    assert pruned.cost.macs == counted <= 0.5 * pruned.dense_cost.macs
    assert pruned.cost.macs * 16 == mmrazor.count_cost(pruned.model, large).macs
    one = mmrazor.prune(model, little, budget=dict(macs=0.8))
    assert one.model.extra.weight.shape == model.extra.weight.shape
    assert "may be read by 'extra'" in one.unprunable["stem.out"]
    one.model(large)


def test_a_second_input_is_compared_too() -> None:
    class Odd(Sized):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            if x.shape[-1] > 8:  # not by a rule: what it counts is lost
                y = y + float(self.mid.weight.shape[0])
            return y

    little, large = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 16, 16)
    alone = mmrazor.prune(Odd(), little, budget=dict(macs=0.8), ignore=["extra"])
    assert "mid.out" not in alone.unprunable
    both = mmrazor.prune(Odd(), [little, large], budget=dict(macs=0.8))
    assert both.unprunable["mid.out"].startswith("breaks the model")
    assert both.model.mid.out_channels == 10


def test_train_mode_of_a_plain_model_is_tried() -> None:
    x = torch.rand(1, 3, 4, 4)
    torch.manual_seed(0)
    pruned = mmrazor.prune(
        Sized(noise=10), [x, torch.rand(1, 3, 16, 16)], {"macs": 0.7}
    )
    assert pruned.unprunable["mid.out"].startswith("breaks the model (RuntimeError")
    pruned.model.train()(x).sum().backward()
