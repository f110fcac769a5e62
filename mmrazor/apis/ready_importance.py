"""Make an importance ready to score: with gradients of the training set if it asks."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.config import Config

from ..core.graph import ChannelGraph
from .calibration_batches import train_batches
from .gradient_importance import batch_size_for, calibrated, reads_gradients
from .run_config import run_config
from .steps import Steps

_CALIB_BATCHES = 8


def checked_batches(importance: Any, given: int | None) -> int:
    """Return the number of batches to find gradients with; 0 if none are read.

    Args:
        importance: A name, a config or an object.
        given: What the user asked for; ``None`` is 8 if gradients are read.

    Raises:
        ValueError: If the two do not fit.

    Example:
        >>> checked_batches('TaylorImportance', None)
        8
    """
    if given is not None and given < 0:
        raise ValueError(f"calib_batches={given} must be at least 0.")
    reads = reads_gradients(importance)
    if reads and given == 0:
        raise ValueError(
            f"{importance} reads gradients, which takes batches of the training set. "
            f"Leave calib_batches out (then it is {_CALIB_BATCHES}), raise it, or take "
            "an importance that reads weights alone, such as L1Importance."
        )
    if not reads and given:
        raise ValueError(
            f"{importance} reads no gradients, so calib_batches={given} has no "
            "meaning. Leave it out, or take TaylorImportance or FisherImportance."
        )
    return (_CALIB_BATCHES if given is None else given) if reads else 0


def ready_importance(
    importance: Any,
    graph: ChannelGraph,
    cfg: Config,
    calib_batches: int,
    seed: int,
    device: str | torch.device,
    steps: Steps,
) -> Any:
    """Return an importance that can score the groups of a graph.

    Args:
        importance: A name, a config or an object.
        graph: Of the model, which is on the CPU before and after.
        cfg: Names the training set.
        calib_batches: From :func:`checked_batches`; with 0 nothing is done.
        seed: Of the choice of the batches.
        device: Where gradients are found.
        steps: Shows how far it is.

    Raises:
        RunConfigError: If the training set is faulty.
        ValueError: If the model has no losses.
    """
    if not calib_batches:
        return importance
    complete = run_config(cfg)
    batch_size = (complete.get("train_dataloader") or {}).get("batch_size", 1)
    wanted = batch_size_for(importance, batch_size)
    total = calib_batches * batch_size // wanted
    with steps.step("Finding gradients", total) as advance:
        graph.model.to(device)
        batches = train_batches(complete, total, seed, wanted)
        ready = calibrated(importance, graph, batches, advance)
        graph.model.cpu()
    return ready
