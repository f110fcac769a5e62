"""Ranges that leave nothing out: of all data, or averaged over batches."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ....registry import TASK_UTILS
from ..settings import QuantSettings
from .base import Observer
from .statistic import Extremes, MovingExtremes


@final
@TASK_UTILS.register_module()
class MinMaxObserver(Observer):
    """From the least to the greatest number seen.

    Args:
        axis: Axis of the channels, see :class:`~.base.Observer`.

    Example:
        >>> import torch
        >>> observer = MinMaxObserver(axis=0)
        >>> observer(torch.tensor([[1.0, 2.0], [-3.0, 0.0]]))
        >>> observer.range()
        (tensor([ 1., -3.]), tensor([2., 0.]))
    """

    statistic: Extremes

    def __init__(self, axis: int | None = None) -> None:
        super().__init__(Extremes(), axis)

    def ends(self, settings: QuantSettings) -> tuple[Tensor, Tensor]:
        """Return the ends of all that was seen."""
        return self.statistic.low, self.statistic.high


@final
@TASK_UTILS.register_module()
class MovingAverageObserver(Observer):
    """Moving averages of the least and of the greatest number of each batch.

    After Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference (Jacob et al., 2018, arXiv:1712.05877),
    section 3.1.

    Args:
        momentum: Weight of the newest batch, in (0, 1].
        axis: Axis of the channels, see :class:`~.base.Observer`.

    Raises:
        ValueError: If the momentum is outside.

    Example:
        >>> import torch
        >>> observer = MovingAverageObserver(momentum=0.5)
        >>> observer(torch.tensor([-1.0, 2.0]))
        >>> observer(torch.tensor([0.0, 4.0]))
        >>> observer.range()
        (tensor(-0.5000), tensor(3.))
    """

    statistic: MovingExtremes

    def __init__(self, momentum: float = 0.1, axis: int | None = None) -> None:
        if not 0 < momentum <= 1:
            raise ValueError(
                f"momentum={momentum}: the weight of the newest batch is above 0 and "
                "at most 1."
            )
        super().__init__(MovingExtremes(momentum), axis)

    def ends(self, settings: QuantSettings) -> tuple[Tensor, Tensor]:
        """Return the averages."""
        return self.statistic.low, self.statistic.high
