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
