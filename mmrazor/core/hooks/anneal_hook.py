"""Tell modules how much of the training is done."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from ...registry import HOOKS
from ..protocols import Anneals


@HOOKS.register_module()
class AnnealHook(Hook):
    """Call ``anneal_(share)`` on every module that has it, with the share done.

    ``GumbelMutableOP`` lowers its temperature, ``DropPath`` raises its probability.

    Args:
        by_epoch: Whether the share changes from epoch to epoch, or with every step.

    Raises:
        ValueError: When training begins, if no module has it.

    Example:
        >>> custom_hooks = [dict(type='mmrazor.AnnealHook', by_epoch=True)]
    """

    def __init__(self, by_epoch: bool = False) -> None:
        self.by_epoch = by_epoch
        self._modules: list[Anneals] = []

    def before_train(self, runner: Any) -> None:
        """Find the modules."""
        found = list(runner.model.modules())
        self._modules = [one for one in found if isinstance(one, Anneals)]
        if not self._modules:
            raise ValueError(
                "AnnealHook finds nothing to anneal: no module has anneal_, as "
                "GumbelMutableOP and DropPath have. Remove it from custom_hooks."
            )

    def before_train_epoch(self, runner: Any) -> None:
        """Tell the share of epochs that are done."""
        if self.by_epoch:
            self._tell(runner.epoch / runner.max_epochs)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Tell the share of steps that are done."""
        if not self.by_epoch:
            self._tell(runner.iter / runner.max_iters)

    def _tell(self, share: float) -> None:
        for module in self._modules:
            module.anneal_(share)
