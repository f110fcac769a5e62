"""What an Algorithm refuses, or warns of, when it is built."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import nn


def check_mmengine_model(model: nn.Module, role: str) -> None:
    """Refuse plain torch modules.

    Raises:
        ValueError: With what to do.
    """
    if not isinstance(model, BaseModel):
        raise ValueError(
            f"The {role} is {type(model).__name__}, a plain torch module. A runner "
            "trains mmengine models: wrap it in a BaseModel whose forward(inputs, "
            "data_samples, mode) returns losses, predictions or tensors."
        )


def check_weights_given(cfg: Any) -> None:
    """Refuse a teacher whose weights are left open.

    Raises:
        TypeError: If it is no config of a model.
        ValueError: With what to do.
    """
    if isinstance(cfg, nn.Module):
        return
    if isinstance(cfg, (bool, int, float, list, tuple)):
        raise TypeError(
            f"teacher is {cfg!r}; give dict(cfg_path=..., checkpoint=...), or the "
            "model's own dict(type='...', ...) with pretrained=False."
        )
    if not isinstance(cfg, dict) or not {"checkpoint", "pretrained"} & set(cfg):
        raise ValueError(
            "The teacher has no weights. Give teacher=dict(cfg_path=..., "
            "checkpoint='teacher.pth') or pretrained=True for the published ones; "
            "pretrained=False says that random weights are meant."
        )


def check_one_changes(pruner: Any) -> None:
    """Refuse to quantize a model that is pruned while it trains.

    Raises:
        ValueError: With what to do.
    """
    if hasattr(pruner, "training_hook"):
        raise ValueError(
            f"{type(pruner).__name__} changes the model while it trains, and a "
            "quantizer counts on its channels. Prune first, and quantize what comes "
            "out: architecture=dict(type='mmrazor.SubnetModel', ...)."
        )


def warn_other_normalisation(student: Any, teacher: Any) -> None:
    """Warn if two data preprocessors normalise images in different ways."""
    for name in ("mean", "std"):
        ours, theirs = getattr(student, name, None), getattr(teacher, name, None)
        if ours is None or theirs is None or torch.equal(ours, theirs):
            continue
        print_log(
            f"The teacher was built with another {name} ({theirs.flatten().tolist()}) "
            f"than the student ({ours.flatten().tolist()}). Both see the student's "
            "preprocessed images; a teacher trained on others loses accuracy.",
            logger="current",
            level=30,
        )
