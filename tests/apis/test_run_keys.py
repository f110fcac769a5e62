"""Keys of a run's config: kinds and ranges; the tools' tests have the texts."""

from __future__ import annotations

import math

import pytest
from torch import nn

from mmrazor.apis.run_keys import RunConfigError, check_keys, check_parts

LOADER = {"batch_size": 2, "num_workers": 0, "dataset": {"type": "Toys"}}
RIGHT = {
    "model": {"type": "Net"},
    "train_dataloader": LOADER,
    "train_cfg": {"by_epoch": True, "max_epochs": 0, "val_interval": 1},
    "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1}},
    "custom_hooks": [{"type": "EMAHook"}],
    "param_scheduler": {"type": "MultiStepLR"},
    "default_hooks": {"checkpoint": {"type": "CheckpointHook", "interval": 1}},
    "randomness": {"seed": None},
    "load_from": None,
    "log_level": "INFO",
}


def test_right_ones_pass():
    check_keys(RIGHT)
    check_parts(RIGHT, "train", "val")
    # objects instead of dicts are mmengine's business
    check_keys({**RIGHT, "model": nn.Linear(1, 1), "custom_hooks": [object()]})
    check_keys({})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch_size", 0),
        ("batch_size", True),
        ("batch_size", math.nan),
        ("num_workers", -1),
        ("num_workers", 0.5),
        ("dataset", 5),
    ],
)
@pytest.mark.parametrize("stage", ["train", "val", "test"])
def test_loaders(stage, key, value):
    with pytest.raises(RunConfigError, match=rf"^{stage}_dataloader\.{key} is "):
        check_keys({f"{stage}_dataloader": {**LOADER, key: value}})


@pytest.mark.parametrize("rate", [-0.1, math.nan, math.inf, "0.1", True])
def test_learning_rates(rate):
    with pytest.raises(RunConfigError, match=r"optim_wrapper\.optimizer\.lr is "):
        check_keys({"optim_wrapper": {"optimizer": {"lr": rate}}})


def test_keys_of_the_hook_that_saves():
    hook = {"type": "CheckpointHook", "max_keep_ckpt": 3}
    with pytest.raises(RunConfigError, match="max_keep_ckpt.*Near names: max_keep_ck"):
        check_keys({"default_hooks": {"checkpoint": hook}})


@pytest.mark.parametrize(
    "missing", ["model", "train_dataloader", "train_cfg", "optim_wrapper"]
)
def test_missing_parts(missing):
    cfg = {key: value for key, value in RIGHT.items() if key != missing}
    with pytest.raises(RunConfigError, match=missing):
        check_parts(cfg, "train")


def test_half_a_validation():
    with pytest.raises(RunConfigError, match="has val_cfg, but no val_dataloader and"):
        check_parts({**RIGHT, "val_cfg": {}}, "train", "val")
    bare = {key: value for key, value in LOADER.items() if key != "dataset"}
    with pytest.raises(RunConfigError, match=r"no train_dataloader\.dataset"):
        check_parts({**RIGHT, "train_dataloader": bare}, "train")
