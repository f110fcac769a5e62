# C channels, N numbers of each: a tensor without channels is one row.
"""What an observer keeps of the numbers it has seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from ..lazy_tensors import LazyTensors, put_


class Statistic(LazyTensors, ABC):
    """Buffers that sum up rows of numbers; empty before the first."""

    @abstractmethod
    def add_(self, rows_CN: Tensor, low_C: Tensor, high_C: Tensor) -> None:
        """Take in numbers.

        Args:
            rows_CN: Numbers, finite, each row with at least one.
            low_C: Least of each row.
            high_C: Greatest of each row.
        """

    @abstractmethod
    def merged(self, states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the buffers of one statistic that has seen what several have.

        Args:
            states: Buffers of each, none of them empty.
        """

    @final
    def is_filled(self) -> bool:
        """Return whether it has seen numbers."""
        return all(buffer.numel() for buffer in self.buffers())

    @final
    def num_channels(self) -> int:
        """Return the number of rows that it keeps apart, 0 before the first data."""
        return len(next(self.buffers()))

    @final
    def put_(self, state: Mapping[str, Tensor]) -> None:
        """Replace the buffers."""
        for name, buffer in self.named_buffers():
            put_(buffer, state[name])

    @final
    def reset_(self) -> None:
        """Forget what it has seen."""
        self.put_({name: buffer[:0] for name, buffer in self.named_buffers()})


@final
class Extremes(Statistic):
    """Least and greatest number of each row."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(0))
        self.register_buffer("high", torch.zeros(0))

    def add_(self, rows_CN: Tensor, low_C: Tensor, high_C: Tensor) -> None:
        """Widen the range."""
        seen = {"low": low_C, "high": high_C}
        old = dict(self.named_buffers())
        self.put_(self.merged([old, seen]) if self.is_filled() else seen)

    def merged(self, states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the least of the least and the greatest of the greatest."""
        low = torch.stack([state["low"] for state in states]).amin(0)
        return {
            "low": low,
            "high": torch.stack([state["high"] for state in states]).amax(0),
        }


@final
class MovingExtremes(Statistic):
    """Moving averages of the least and of the greatest number of each row.

    Args:
        momentum: Weight of the newest, in (0, 1].
    """

    low: Tensor
    high: Tensor

    def __init__(self, momentum: float) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(0))
        self.register_buffer("high", torch.zeros(0))
        self.momentum = momentum

    def add_(self, rows_CN: Tensor, low_C: Tensor, high_C: Tensor) -> None:
        """Move the averages; the first range is taken as it is."""
        if self.is_filled():
            low_C = torch.lerp(self.low.to(low_C), low_C, self.momentum)
            high_C = torch.lerp(self.high.to(high_C), high_C, self.momentum)
        self.put_({"low": low_C, "high": high_C})

    def merged(self, states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the mean of the averages."""
        return {
            name: torch.stack([state[name] for state in states]).mean(0)
            for name in ("low", "high")
        }


@final
class MeanAbs(Statistic):
    """Sum of the absolute values of each row, and how many they are."""

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(0, dtype=torch.long))

    def add_(self, rows_CN: Tensor, low_C: Tensor, high_C: Tensor) -> None:
        """Add to the sums."""
        total = rows_CN.abs().sum(1, dtype=torch.float64)
        count = torch.full_like(total, rows_CN.shape[1], dtype=torch.long)
        seen = {"total": total, "count": count}
        old = dict(self.named_buffers())
        self.put_(self.merged([old, seen]) if self.is_filled() else seen)

    def merged(self, states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the sums of the sums."""
        return {
            name: torch.stack([state[name] for state in states]).sum(0)
            for name in ("total", "count")
        }

    def mean(self) -> Tensor:
        """Return the mean absolute value of each row, float64."""
        return self.total / self.count
