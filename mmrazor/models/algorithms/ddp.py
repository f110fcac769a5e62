"""The one distributed wrapper, for Algorithms and plain host models alike."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from ...registry import MODEL_WRAPPERS
from .base import Algorithm


@MODEL_WRAPPERS.register_module()
class AlgorithmDDP(MMDistributedDataParallel):
    """Data-parallel training of an Algorithm's own ``train_step``, on GPU or CPU.

    The step runs unchanged; its calls of
    :meth:`~mmrazor.models.algorithms.Algorithm.run` go through this wrapper, so that
    gradients are averaged over the processes.

    Args:
        module: An Algorithm, or any mmengine model (trained as mmengine does).
        device_ids: As in torch; left out for a module on the CPU, where torch wants
            none.
        kwargs: As in torch; ``find_unused_parameters`` is what the Algorithm says it
            needs if it is left out.
    """

    def __init__(
        self, module: nn.Module, device_ids: list | None = None, **kwargs: Any
    ) -> None:
        on_cpu = all(p.device.type == "cpu" for p in module.parameters())
        if on_cpu and any(isinstance(m, nn.SyncBatchNorm) for m in module.modules()):
            print_log(
                "Synchronised batch norm needs GPUs: on the CPU each process takes the "
                "statistics of its own part of the batch.",
                logger="current",
                level=logging.WARNING,
            )
            module = revert_sync_batchnorm(module)
        self._arguments = {
            "device_ids": None if on_cpu else device_ids,
            "find_unused_parameters": getattr(module, "find_unused_parameters", False),
            **kwargs,
        }
        super().__init__(module, **self._arguments)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take one optimizer step on one batch of this process."""
        if not isinstance(self.module, Algorithm):
            return super().train_step(data, optim_wrapper)
        with self.module.running_through(self):
            return self.module.train_step(data, optim_wrapper)

    def rebuild_(self) -> None:
        """Average the gradients of the module's parameters as they are now.

        torch lays out its buckets once, by the shapes that it finds. The shapes must be
        the same in all processes.
        """
        module, arguments = self.module, self._arguments
        # The old reducer holds the parameters' gradient nodes: it goes first.
        del self.reducer, self.logger
        self.__init__(module, **arguments)  # type: ignore[misc]
