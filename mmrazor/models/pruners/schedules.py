# Gradual pruning after To Prune, or Not to Prune (Zhu and Gupta, 2017,
# arXiv:1710.01878): there the share of zeros grows, here the cost falls, so that any
# budget has a schedule.
"""How a budget falls from the dense model's cost to its target during training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ...registry import MODELS


class Schedule(ABC):
    """When to prune, and how far; a subclass defines :meth:`curve` and nothing else.

    It prunes at ``begin``, every ``interval`` after it, and at ``end``, each time
    before the step (or epoch) of that number, counted from 0. With ``begin`` equal to
    ``end`` it prunes once.

    Args:
        begin: Time at which the budget begins to fall.
        end: Time at which the target is reached.
        interval: Time between two prunings; by default a tenth of the whole.
        by_epoch: Count epochs, not iterations.

    Raises:
        ValueError: If the times are not whole numbers in order.
    """

    def __init__(
        self, begin: int, end: int, interval: int | None = None, by_epoch: bool = False
    ) -> None:
        numbers = [begin, end] if interval is None else [begin, end, interval]
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)
        if (
            not whole
            or not 0 <= begin <= end
            or (interval is not None and interval < 1)
        ):
            raise ValueError(
                f"{type(self).__name__}(begin={begin!r}, end={end!r}, interval="
                f"{interval!r}): give whole numbers with 0 <= begin <= end and an "
                "interval of at least 1."
            )
        self.begin, self.end, self.by_epoch = begin, end, by_epoch
        self.interval = interval or max(1, (end - begin) // 10)

    @abstractmethod
    def curve(self, progress: float) -> float:
        """Return the share of the way to the target, from 0 to 1.

        Args:
            progress: Time gone by since ``begin``, as a part of the whole, in [0, 1].
        """

    def share(self, time: int) -> float:
        """Return the share of the way to the target at a time."""
        if time < self.begin:
            return 0.0
        if time >= self.end:
            return 1.0
        return self.curve((time - self.begin) / (self.end - self.begin))

    def is_due(self, time: int) -> bool:
        """Tell whether to prune before the step or epoch of this number."""
        if not self.begin <= time <= self.end:
            return False
        return time == self.end or (time - self.begin) % self.interval == 0

    def next_due(self, time: int) -> int | None:
        """Return the first time from this one on at which channels may go.

        At ``begin`` the budget is still the dense cost, so nothing goes then.
        """
        for due in range(max(time, self.begin), self.end + 1):
            if self.is_due(due) and self.share(due) > 0:
                return due
        return None

    def __repr__(self) -> str:
        unit = "epochs" if self.by_epoch else "iterations"
        return (
            f"{type(self).__name__}({self.begin} to {self.end} {unit}, every "
            f"{self.interval})"
        )


@MODELS.register_module()
class LinearSchedule(Schedule):
    """The cost falls by the same amount at every pruning.

    Example:
        >>> [LinearSchedule(0, 4, 2).share(time) for time in (0, 2, 4)]
        [0.0, 0.5, 1.0]
    """

    def curve(self, progress: float) -> float:
        """Return the progress itself."""
        return progress


@MODELS.register_module()
class CubicSchedule(Schedule):
    """Much goes at first, when the network has room, and little at the end.

    Zhu and Gupta (2017, arXiv:1710.01878), equation 1: what remains to be pruned falls
    with the third power of the remaining time.

    Example:
        >>> [CubicSchedule(0, 4, 2).share(time) for time in (0, 2, 4)]
        [0.0, 0.875, 1.0]
    """

    def curve(self, progress: float) -> float:
        """Return ``1 - (1 - progress)^3``."""
        return 1.0 - (1.0 - progress) ** 3


def build_schedule(cfg: Any) -> Schedule | None:
    """Build a schedule from its config; None and a Schedule come back as they are.

    Raises:
        TypeError: If it is neither, or arguments are missing or unknown.
        ValueError: If there is no such schedule.
    """
    if cfg is None or isinstance(cfg, Schedule):
        return cfg
    if not isinstance(cfg, dict) or not isinstance(cfg.get("type"), str):
        raise TypeError(
            f"schedule={cfg!r} is no config. Give dict(type='CubicSchedule', begin=..."
            ", end=...), or leave it out to prune once."
        )
    arguments = dict(cfg)
    name = arguments.pop("type")
    found = MODELS.get(name)
    if not (isinstance(found, type) and issubclass(found, Schedule)):
        known = [
            name
            for name, kind in MODELS.module_dict.items()
            if isinstance(kind, type) and issubclass(kind, Schedule)
        ]
        raise ValueError(f"'{name}' is no schedule. There are {sorted(known)}.")
    return found(**arguments)
