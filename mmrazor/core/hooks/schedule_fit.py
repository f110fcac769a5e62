"""Whether a pruning schedule fits a run, and how far off its next pruning is."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.runner import IterBasedTrainLoop


class ScheduleError(ValueError):
    """A pruning schedule that does not fit the training loop."""


def check_fit(runner: Any, pruner: Any) -> None:
    """Return quietly if a pruner can do in a run what it plans.

    Raises:
        ScheduleError: If it cannot.
    """
    schedule = pruner.schedule
    if schedule is None:
        return
    loop = runner.train_loop
    if schedule.by_epoch and isinstance(loop, IterBasedTrainLoop):
        raise ScheduleError(
            f"{schedule} counts epochs, but {type(loop).__name__} has none. Set "
            "by_epoch=False and give begin, end and interval in iterations."
        )
    length = loop.max_epochs if schedule.by_epoch else loop.max_iters
    unit = "epochs" if schedule.by_epoch else "iterations"
    if schedule.end >= length:
        raise ScheduleError(
            f"{schedule} ends where training does or later: there are {length} "
            f"{unit}, counted from 0. Give an earlier end, so that the pruned "
            "network is trained too."
        )
    if not getattr(runner.cfg, "compile", None):
        return
    if pruner.importance.reads_masks:
        raise ScheduleError(
            "Gradients of masks on channels are not seen in a compiled model. Leave "
            "compile out, or take an importance that reads weights."
        )
    text = "Every pruning makes torch.compile start again."
    runner.logger.log(logging.WARNING, text)


def steps_until_due(runner: Any, schedule: Any, batch_idx: int) -> int | None:
    """Return how many steps are taken before the next pruning; None if none comes."""
    if not schedule.by_epoch:
        due = schedule.next_due(runner.iter + 1)
        return None if due is None else due - runner.iter
    due = schedule.next_due(runner.epoch + 1)
    if due is None:
        return None
    return (due - runner.epoch) * len(runner.train_dataloader) - batch_idx
