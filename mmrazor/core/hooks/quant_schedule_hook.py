# As torchvision's quantization-aware training: ranges, then the statistics of batch
# norms, are frozen in the last epochs, so that the weights settle on fixed numbers.
"""Say when the ranges of a quantized model, and its batch norms, stop changing."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from torch.nn.modules.batchnorm import _BatchNorm

from ...registry import HOOKS
from .averaged_models import averages_of, follow_quantizer_
from .calibrate_hook import quantized_model


@HOOKS.register_module()
class QuantScheduleHook(Hook):
    """Let ranges follow the training, and freeze them and batch norms at some time.

    Quantizers observe while they round, in training alone; steps that are learned
    (LSQ) follow their gradient from the start. Weights want an observer that forgets:
    ``dict(type='MovingAverageObserver', momentum=1.0)`` takes the range that they have.

    What holds at a step follows from its number, so a resumed run goes on as it was.

    Args:
        freeze_observers_at: First epoch, or step, with fixed ranges; None: never.
        freeze_bn_at: First with the statistics of batch norms fixed; None: never.
        by_epoch: Whether the two are epochs or steps, counted from 0.

    Raises:
        TypeError: If the model has no quantizer.
        ValueError: If a time is negative.

    Example:
        >>> custom_hooks = [
        ...     dict(
        ...         type='mmrazor.QuantScheduleHook',
        ...         freeze_observers_at=4,
        ...         freeze_bn_at=3,
        ...     )
        ... ]
    """

    # Before EMAHook, which copies what there is.
    priority = "ABOVE_NORMAL"

    def __init__(
        self,
        freeze_observers_at: int | None = None,
        freeze_bn_at: int | None = None,
        by_epoch: bool = True,
    ) -> None:
        for name, time in (
            ("freeze_observers_at", freeze_observers_at),
            ("freeze_bn_at", freeze_bn_at),
        ):
            if time is not None and time < 0:
                raise ValueError(f"{name}={time}: times are counted from 0.")
        self.freeze_observers_at = freeze_observers_at
        self.freeze_bn_at = freeze_bn_at
        self.by_epoch = by_epoch

    @property
    def keeps_observing(self) -> bool:
        """Whether observers go on after the calibration."""
        return self.freeze_observers_at != 0

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Set what holds at this step."""
        model = quantized_model(runner, type(self).__name__)
        time = runner.epoch if self.by_epoch else runner.iter
        if not _is_over(time, self.freeze_observers_at):
            model.quantizer.mode_(observing=True, quantizing=True)
        else:
            model.quantizer.freeze_()
        if _is_over(time, self.freeze_bn_at):
            for module in model.architecture.modules():
                if isinstance(module, _BatchNorm) and module.training:
                    module.eval()

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Let averages take in what was seen for the first time, or frozen."""
        for average in averages_of(runner):
            model = quantized_model(runner, type(self).__name__)
            follow_quantizer_(average, model.quantizer)

    def before_val(self, runner: Any) -> None:
        """Leave data of a validation alone."""
        model = quantized_model(runner, type(self).__name__)
        model.quantizer.mode_(observing=False, quantizing=True)


def _is_over(time: int, end: int | None) -> bool:
    return end is not None and time >= end
