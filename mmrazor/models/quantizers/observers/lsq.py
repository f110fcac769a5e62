"""The range from which a learned step size begins."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ....registry import TASK_UTILS
from ..settings import QuantSettings
from .base import Observer
from .statistic import MeanAbs


@final
@TASK_UTILS.register_module()
class LSQObserver(Observer):
    """The range with the step ``2 * mean(|x|) / sqrt(quant_max)``.

    Learned Step Size Quantization (Esser et al., 2020, arXiv:1902.08153), section 2.1.

    Args:
        axis: Axis of the channels, see :class:`~.base.Observer`.

    Example:
        >>> observer = LSQObserver()
        >>> observer(torch.tensor([-1.0, 1.0]))
        >>> low, high = observer.range(QuantSettings(bits=3, narrow=True))
        >>> float(high) / 3 == float(-low) / 3 == float(torch.tensor(2 / 3**0.5))
        True
    """

    statistic: MeanAbs

    def __init__(self, axis: int | None = None) -> None:
        super().__init__(MeanAbs(), axis)

    @staticmethod
    def check(settings: QuantSettings) -> None:
        """Return quietly if a step says all about the integers.

        Raises:
            ValueError: If they are not symmetric: a mean finds no zero point.
        """
        if not settings.symmetric:
            raise ValueError(
                "LSQObserver finds a step, no zero point. Give symmetric=True, or "
                "another observer, such as dict(type='MinMaxObserver')."
            )

    def ends(self, settings: QuantSettings) -> tuple[Tensor, Tensor]:
        """Return what the integers reach with that step.

        Raises:
            ValueError: If the settings are not symmetric.
        """
        self.check(settings)
        step = 2 * self.statistic.mean() / settings.quant_max**0.5
        high = (step * settings.quant_max).to(torch.float32)
        return (-high if settings.signed else torch.zeros_like(high)), high
