"""A stage is trained once, and goes on where it was stopped."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from rich.console import Console
from torch import nn

from mmrazor.apis.stage import Stage, StageHook, fingerprint, train_stage
from mmrazor.registry import DATASETS, METRICS, MODELS


@DATASETS.register_module()
class StagePoints(BaseDataset):
    def load_data_list(self):
        points = torch.linspace(-1, 1, 24)
        return [{"x": torch.stack([p, p**2]), "y": int(p > 0)} for p in points]


@MODELS.register_module()
class StageNet(BaseModel):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 2))

    def forward(self, x, y, sample_idx=None, mode="tensor"):
        logits = self.layers(torch.stack(list(x)))
        if mode == "loss":
            return {"loss": nn.functional.cross_entropy(logits, torch.as_tensor(y))}
        return [{"hit": bool(hit)} for hit in logits.argmax(1) == torch.as_tensor(y)]


@METRICS.register_module()
class StageAccuracy(BaseMetric):
    default_prefix = "accuracy"

    def process(self, data_batch, data_samples):
        self.results += [sample["hit"] for sample in data_samples]

    def compute_metrics(self, results):
        return {"top1": 100 * sum(results) / len(results)}


def stage_cfg() -> Config:
    loader = {
        "batch_size": 8,
        "sampler": {"type": "DefaultSampler", "shuffle": True},
        "dataset": {"type": "mmrazor.StagePoints"},
    }
    saver = {"type": "CheckpointHook", "interval": 1, "max_keep_ckpts": 1}
    return Config(
        {
            "model": {"type": "mmrazor.StageNet"},
            "train_dataloader": loader,
            "val_dataloader": loader,
            "val_evaluator": {"type": "mmrazor.StageAccuracy"},
            "train_cfg": {"by_epoch": True, "max_epochs": 3},
            "val_cfg": {},
            "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.5}},
            "default_hooks": {"checkpoint": saver},
            "randomness": {"seed": 1},
        }
    )


@pytest.fixture
def run(tmp_path: Path):
    """Return a function that trains a stage and returns it with what was printed."""

    def train(name: str, identity: str = "one") -> tuple[Stage, str]:
        console = Console(file=io.StringIO(), width=200)
        stage = train_stage(stage_cfg(), tmp_path / name, identity, "net", console)
        return stage, console.file.getvalue()

    return train


def weights(stage: Stage) -> dict:
    return torch.load(stage.checkpoint, weights_only=False)["state_dict"]


@pytest.mark.parametrize("moment", ["in epoch 2", "before validating epoch 3"])
def test_stopped_stage_ends_as_an_uninterrupted_one(run, monkeypatch, moment) -> None:
    whole, _ = run("whole")
    assert sorted(whole.curve) == [1, 2, 3]

    def stop(self, runner, *args, **kwargs):
        if moment == "in epoch 2" and runner.iter == 4:
            raise KeyboardInterrupt
        if moment == "before validating epoch 3" and runner.iter == 9:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StageHook, "before_train_iter", stop)
        patch.setattr(StageHook, "before_val_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            run("part")
    resumed, output = run("part")
    assert "going on from" in output
    assert resumed.curve == whole.curve
    expected, found = weights(whole), weights(resumed)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_finished_stage_is_kept_until_something_changes(run, tmp_path: Path) -> None:
    stage, _ = run("kept")
    before = (tmp_path / "kept" / "stage.json").read_bytes()
    again, output = run("kept")
    assert "done before" in output
    assert again == stage
    assert (tmp_path / "kept" / "stage.json").read_bytes() == before
    _, output = run("kept", "another")
    assert "done before" not in output
    assert "epoch 3/3" in output


def test_broken_record_starts_anew(run, tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "stage.json").write_text('{"unknown": 1}')
    stage, _ = run("net")
    assert stage.finished


def test_fingerprint_follows_config_and_needs() -> None:
    cfg = stage_cfg()
    plain = fingerprint(cfg)
    cfg.work_dir = "elsewhere"
    assert fingerprint(cfg) == plain
    assert fingerprint(cfg, [Stage("a")]) != fingerprint(cfg, [Stage("b")])
    cfg.randomness.seed = 2
    assert fingerprint(cfg) != plain
