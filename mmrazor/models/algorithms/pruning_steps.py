"""What an Algorithm with a pruner does while it trains."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import nn

from ...core.graph import Cuts
from ..distillers import Distiller, Teacher
from .pruned_features import check_student_features


class PruningSteps:
    """What :class:`~mmrazor.core.hooks.PruningScheduleHook` calls of an Algorithm."""

    architecture: Any
    pruner: Any
    distiller: Distiller | None
    teacher: Teacher | None
    distilling: bool

    def prepare_pruning(self) -> None:
        """Trace the Architecture and try a pruning on a copy, to find faults early.

        Raises:
            PrunedFeatureError: If a distillation loss reads what pruning will shrink.
            ValueError: What :meth:`~mmrazor.models.pruners.Pruner.prepare` raises.
        """
        self._check_features(self.pruner.prepare(self.architecture))

    def next_step(self, share: float, time: int | None = None) -> Any:
        """Return what the pruner takes away next, or None; nothing changes yet.

        Args:
            share: Of the way from the dense cost to the budget, in [0, 1].
            time: Step or epoch, for the records.
        """
        step = self.pruner.decide(self.architecture, share, time)
        self._check_features(step)
        return step

    def shrink_(self, cuts: Cuts) -> dict[nn.Parameter, Any]:
        """Cut the Architecture in place; return what became of its parameters."""
        shrunk = self.pruner.cut_(self.architecture, cuts)
        self._listen()
        return shrunk

    def restore_(self) -> bool:
        """Take back what was pruned at building; tell whether there was something."""
        restored = self.pruner.restore_(self.architecture)
        self._listen()
        return restored

    def load_pruning_(self, data: Any) -> Cuts:
        """Take a checkpoint's state of the pruner; return the cuts that were done."""
        cuts = self.pruner.load_state_(self.architecture, data)
        self._listen()
        return cuts

    def _check_features(self, step: Any) -> None:
        if step is not None and self.teacher is not None and self.distilling:
            assert self.distiller is not None
            check_student_features(
                self.architecture,
                step.slimmed,
                step.inputs,
                self.distiller,
                self.teacher,
            )

    @abstractmethod
    def _listen(self) -> None:
        """Find the modules that are recorded; pruning may have replaced some."""
