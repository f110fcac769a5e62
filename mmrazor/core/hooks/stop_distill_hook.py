"""Hook that ends distillation before training ends."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from ..forward import unwrapped
from ..protocols import HasTeacher


@HOOKS.register_module()
class StopDistillHook(Hook):
    """Stop distilling at an epoch or an iteration; the teacher is not run afterwards.

    Early stopping of distillation helps students that are much smaller than their
    teacher (On the Efficacy of Knowledge Distillation, Cho and Hariharan, 2019,
    arXiv:1910.01348).

    Args:
        stop_epoch: First epoch without distillation, counted from 0.
        stop_iter: First iteration without distillation, counted from 0.

    Raises:
        ValueError: If not exactly one of the two is given.
    """

    priority = "LOW"

    def __init__(
        self, stop_epoch: int | None = None, stop_iter: int | None = None
    ) -> None:
        if (stop_epoch is None) == (stop_iter is None):
            raise ValueError(
                "StopDistillHook takes one of stop_epoch and stop_iter, for example "
                "dict(type='mmrazor.StopDistillHook', stop_epoch=30)."
            )
        self.stop_epoch = stop_epoch
        self.stop_iter = stop_iter

    def before_train_epoch(self, runner: Runner) -> None:
        """Stop at the epoch set, also when a run is resumed behind it."""
        if self.stop_epoch is not None and runner.epoch >= self.stop_epoch:
            self._stop(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Stop at the iteration set."""
        if self.stop_iter is not None and runner.iter >= self.stop_iter:
            self._stop(runner)

    def _stop(self, runner: Runner) -> None:
        model = unwrapped(runner.model)
        if not isinstance(model, HasTeacher):
            raise TypeError(
                f"StopDistillHook needs a distilling model, got "
                f"{type(model).__name__}. Remove the hook from custom_hooks."
            )
        if model.distilling:
            model.stop_distillation()
            runner.logger.info(
                f"Distillation stopped at epoch {runner.epoch}, iteration "
                f"{runner.iter}."
            )
