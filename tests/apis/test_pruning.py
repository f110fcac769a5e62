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
