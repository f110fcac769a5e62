# Single Path One-Shot Neural Architecture Search with Uniform Sampling (Guo et al.,
# 2020, arXiv:1904.00420), and DetNAS (Chen et al., 2019, arXiv:1903.10979), which
# trains a detector in the same way: nothing here knows of the task.
"""SPOS: train one path of a supernet at a time."""

from __future__ import annotations

from typing import Any, final

from mmengine.optim import OptimWrapper
from torch import Tensor

from ....registry import MODELS
from ...mutators.fixing import selecting
from .searchable import SearchableAlgorithm


@final
@MODELS.register_module()
class SPOS(SearchableAlgorithm):
    """Train a supernet: each step draws one path uniformly, and runs nothing else.

    A Mutable with probabilities of its own is drawn from by these. Which path runs in
    validation is no affair of the training: that of the values selected, which are the
    first of every Choice unless ``select_`` was called.

    Args:
        architecture, mutator, seed, **kwargs: As for
            :class:`~mmrazor.models.algorithms.nas.searchable.SearchableAlgorithm`.

    Raises:
        ValueError: If there is nothing to search.
    """

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take one optimizer step of the path drawn; return the losses to log."""
        with selecting(self.space, self.drawn()):
            logs = super().train_step(data, optim_wrapper)
        self.count_step_()
        return logs
