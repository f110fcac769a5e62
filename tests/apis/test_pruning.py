"""The door ``mmrazor.prune``: what comes out can be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
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


class Inside(nn.Module):
    """Has one child, under a name that a wrapper might use too."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        layers = nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 4, 3)
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.name)(x)


@pytest.mark.parametrize("name", ["parallel", "module", "architecture"])
def test_what_was_saved_of_wrapped_models_is_loaded(name: str, tmp_path: Path) -> None:
    def net() -> nn.Module:
        plain = Inside("layers" if name == "parallel" else name).eval()
        return nn.DataParallel(plain) if name == "parallel" else plain

    x = torch.rand(1, 3, 16, 16)
    pruned = mmrazor.prune(net(), x, budget=dict(macs=0.5))
    subnet, weights = tmp_path / "subnet.yaml", tmp_path / "weights.pth"
    pruned.subnet.dump(subnet)
    torch.save(pruned.model.state_dict(), weights)
    again = mmrazor.load_subnet(net(), subnet, weights)
    with torch.no_grad():
        assert torch.equal(again(x), pruned.model(x))
