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
        kwargs: As in torch.
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
        super().__init__(module, device_ids=None if on_cpu else device_ids, **kwargs)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take one optimizer step on one batch of this process."""
        if not isinstance(self.module, Algorithm):
            return super().train_step(data, optim_wrapper)
        with self.module.running_through(self):
            return self.module.train_step(data, optim_wrapper)
