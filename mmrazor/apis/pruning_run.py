"""What a run needs whose model is pruned while it trains."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from ..core.graph import TraceError
from ..core.hooks.schedule_fit import ScheduleError
from ..core.protocols import PRUNING_KEY
from ..core.space import Subnet
from ..models.algorithms.pruned_features import PrunedFeatureError
from ..models.architectures.checkpoint import read_checkpoint
from ..models.pruners import (
    BudgetError,
    ImportanceError,
    NothingPrunableError,
    PruningState,
    PruningStateError,
)
from ..registry import MODELS
from .bare_config import architecture_of
from .image_size import test_image_size

#: Faults of a config, or of a checkpoint, that pruning finds when it begins.
PRUNING_FAULTS = (
    BudgetError,
    ImportanceError,
    NothingPrunableError,
    PrunedFeatureError,
    PruningStateError,
    ScheduleError,
    TraceError,
)
# What a test set that is not there, or not as the config says, was seen to raise.
_NO_SIZE = (AssertionError, ImportError, OSError, TypeError, ValueError)


def set_pruning_(cfg: Config) -> None:
    """Add the hook that a model's pruner asks for, and the size of test images.

    A pruner names its hook in the class attribute ``training_hook``. Calling this again
    changes nothing.

    Args:
        cfg: The config of a run.
    """
    model = cfg.get("model") or {}
    pruner, kind = model.get("pruner"), training_pruner(model)
    if kind is None:
        return
    hook = kind.training_hook
    hooks = list(cfg.get("custom_hooks") or [])
    if short_name(hook) not in [short_name(type_of(one)) for one in hooks]:
        cfg.custom_hooks = [*hooks, {"type": hook}]
    takes_size = "image_size" in inspect.signature(kind).parameters
    given = isinstance(pruner, dict) and pruner.get("image_size")
    if takes_size and cfg.get("train_cfg") and not given:
        set_image_size_(cfg, pruner, "pruner")


def training_pruner(model: Mapping[str, Any]) -> Any:
    """Return the class of an Algorithm's pruner if that prunes while it trains.

    Args:
        model: Config of the Algorithm.
    """
    pruner = model.get("pruner")
    if pruner is None:
        return None
    named = type_of(pruner) or getattr(_class_of(model), "pruner_type", "")
    kind = _class_of({"type": named})
    return kind if hasattr(kind, "training_hook") else None


def subnet_in(checkpoint: Path) -> Subnet | None:
    """Return the Subnet of a model that was pruned in training, from its checkpoint.

    Raises:
        ValueError: If the checkpoint is damaged, or what it says of pruning is.
    """
    state = (read_checkpoint(checkpoint).get("meta") or {}).get(PRUNING_KEY)
    return None if state is None else PruningState.from_dict(state).subnet()


def set_image_size_(cfg: Config, part: Any, name: str) -> None:
    """Tell a part of an Algorithm the size of test images, if the config tells it.

    Args:
        cfg: The config of a run.
        part: Config of the part, which runs the model on an example.
        name: Its key in the model, for the warning.
    """
    try:
        resolved = architecture_of(cfg)
        scope = resolved.scope or cfg.get("default_scope")
        plain = {"model": resolved.model, "default_scope": scope}
        loader = cfg.get("test_dataloader") or cfg.get("val_dataloader")
        height, width = test_image_size(Config({**plain, "test_dataloader": loader}))
    except _NO_SIZE as err:
        first_line = (str(err).splitlines() or [""])[0]
        print_log(
            f"The size of test images is not known ({type(err).__name__}: {first_line})"
            f": the {name} runs the model on images of 224 x 224. Another size: "
            f"{name}=dict(..., image_size=(height, width)).",
            logger="current",
            level=logging.WARNING,
        )
        return
    part["image_size"] = [height, width]


def _class_of(spec: Any) -> Any:
    kind = type_of(spec)
    return MODELS.get(kind) if isinstance(kind, str) and kind else kind


def type_of(spec: Any) -> Any:
    """Return the type that a config names, or that an object has."""
    return spec.get("type", "") if isinstance(spec, Mapping) else type(spec)


def short_name(kind: Any) -> str:
    """Return the name of a type without scope and module."""
    return kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__
