"""Validation that reports a student and its teacher side by side."""

from __future__ import annotations

import torch
from mmengine.runner import ValLoop, autocast

from ...registry import LOOPS
from ..forward import unwrapped
from ..protocols import HasTeacher


@LOOPS.register_module()
class DistillValLoop(ValLoop):
    """Validate the student each time and the teacher the first time.

    The student's metrics keep their names (so that ``save_best`` works as ever), the
    teacher's get the prefix ``teacher.``. A teacher never changes: what it scored the
    first time is reported again.

    Args:
        runner: The runner.
        dataloader: Validation data, or its config.
        evaluator: Metrics, or their config.
        fp16: Whether both run in mixed precision.

    Raises:
        TypeError: If the model has no teacher.
    """

    _teacher_metrics: dict[str, float] | None = None

    def run(self) -> dict[str, float]:
        """Run the validation and return the metrics of both."""
        self.runner.call_hook("before_val")
        self.runner.call_hook("before_val_epoch")
        self.runner.model.eval()
        self.val_loss.clear()
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        metrics = self.evaluator.evaluate(len(self.dataloader.dataset))
        metrics.update({f"val_{k}": v.mean() for k, v in self.val_loss.items()})
        if self._teacher_metrics is None:
            self._teacher_metrics = self._validate_teacher()
        metrics.update(self._teacher_metrics)
        self.runner.call_hook("after_val_epoch", metrics=metrics)
        self.runner.call_hook("after_val")
        return metrics

    @torch.no_grad()
    def _validate_teacher(self) -> dict[str, float]:
        model = unwrapped(self.runner.model)
        if not isinstance(model, HasTeacher):
            raise TypeError(
                f"DistillValLoop needs a model with a teacher, got "
                f"{type(model).__name__}. Use mmengine's ValLoop: val_cfg = dict()."
            )
        self.runner.logger.info("Validating the teacher, once.")
        for data_batch in self.dataloader:
            with autocast(enabled=self.fp16):
                outputs = model.teacher_step(data_batch)
            self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        metrics = self.evaluator.evaluate(len(self.dataloader.dataset))
        return {f"teacher.{name}": value for name, value in metrics.items()}
