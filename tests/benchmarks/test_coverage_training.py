"""The step of training that the coverage benchmark takes with every pruned model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

pytest.importorskip("mmpretrain")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from coverage_report import page, trains
from coverage_training import trained, training_step
from coverage_worker import _batch_of


class Aux(nn.Module):
    """Reads a feature in training that was pruned behind its back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1)
        self.aux = nn.Conv2d(width, 2, 1)

    def forward(self, input: Tensor) -> Any:
        feature = self.stem(input)
        if not self.training:
            return self.head(feature)
        return {"out": self.head(feature), "aux": [self.aux(feature)]}


INPUTS = {"input": torch.rand(2, 3, 4, 4)}


def test_every_output_is_trained() -> None:
    model = Aux(6).eval()
    found = training_step(model, INPUTS)
    assert found["parameters_trained"] == 6
    model = Aux(6)
    outputs = model(**INPUTS)
    expected = outputs["out"].square().mean() + outputs["aux"][0].square().mean()
    assert training_step(model, INPUTS)["loss"] == pytest.approx(expected.item())


class Unread(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, input: Tensor) -> Tensor:
        return input


class Lossy(BaseModel):
    """Has a loss of its own, with gradient 2 for its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = "tensor"):
        return {"loss": 2 * self.weight} if mode == "loss" else inputs


def test_the_loss_is_the_hosts_if_it_has_one() -> None:
    model = Lossy()
    inputs = {"inputs": torch.ones(1), "data_samples": ["a"], "mode": "tensor"}
    assert training_step(model, inputs) == {"loss": 2.0, "parameters_trained": 1}
    assert model.weight.item() == pytest.approx(1 - 2e-4)


def test_a_break_is_the_pruned_models_own_only_if_the_original_trains() -> None:
    with pytest.raises(RuntimeError, match="expected input"):
        trained(Aux(9), lambda: Aux(6), INPUTS)
    found = trained(Aux(9), lambda: Aux(9), INPUTS)
    assert found["original_does_not_train"].startswith("RuntimeError: Given groups=1")
    with pytest.raises(ValueError, match="No output of train mode"):
        training_step(Unread(), INPUTS)


def test_the_page_tells_the_three_ends_apart() -> None:
    done: dict[str, Any] = {"prune": {}, "forward": {}, "train": {}}
    row = dict(name="mmseg/a", host="mmseg", family="a", config="mmseg::a.py")
    row |= dict(size=(8, 8), mode="tensor", macs=1e9, params=1e6, macs_share=0.5)
    row |= dict(difference=0.0, seconds=1.0, stages=done)
    broken = {**done, "train": {"error": "RuntimeError: sizes"}}
    rows = [row, {**row, "original_does_not_train": "KeyError"}]
    rows += [{**row, "stages": broken}]
    text = page(rows, "", {"cpu": "", "cores": 1, "versions": {}})
    lines = [
        line.split(" | ") for line in text.splitlines() if line.startswith("| a |")
    ]
    assert [line[8] for line in lines] == ["yes", "nor does the original", "no"]
    assert [trains(record) for record in rows] == [True, False, False]


def test_batches_have_the_size_of_the_inputs() -> None:
    (batch,) = _batch_of(2, Aux(6), {"input": torch.rand(1, 3, 12, 8)}).values()
    assert batch.shape == (2, 3, 12, 8)
