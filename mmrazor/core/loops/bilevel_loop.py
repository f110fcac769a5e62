# Bilevel optimisation as in DARTS (arXiv:1806.09055): the outer problem has data of its
# own. MMRazor knows the second stream as ``mutator_dataloader``.
"""Epochs over two streams of data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ...registry import LOOPS

# Added to the seed of the second stream's sampler: two streams over one dataset must
# not come in one order.
_SEED_OFFSET = 2**30


@LOOPS.register_module()
class BilevelLoop(EpochBasedTrainLoop):
    """Train by epochs; every step gets a batch of each of two streams.

    The first stream counts: an epoch is one pass over it. The second begins anew with
    every epoch, in another order, and whenever it comes to its end, so that what a step
    gets depends on the epoch and on its place in it alone. A resumed run is exact.

    Args:
        runner: The runner.
        dataloader: Data for the weights, or their config.
        mutator_dataloader: Data for the architecture parameters, or their config. What
            a config leaves out, such as ``batch_size``, is as in ``dataloader``.
        max_epochs, val_begin, val_interval, dynamic_intervals: As for mmengine's
            ``EpochBasedTrainLoop``.

    Raises:
        ValueError: If the second stream is empty.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | Mapping[str, Any],
        mutator_dataloader: DataLoader | Mapping[str, Any],
        max_epochs: int,
        val_begin: int = 1,
        val_interval: int = 1,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        if isinstance(mutator_dataloader, Mapping) and isinstance(dataloader, Mapping):
            mutator_dataloader = {**dataloader, **mutator_dataloader}
        super().__init__(
            runner, dataloader, max_epochs, val_begin, val_interval, dynamic_intervals
        )
        self.mutator_dataloader: DataLoader = runner.build_dataloader(
            mutator_dataloader,
            seed=(runner.seed + _SEED_OFFSET) % 2**31,
            diff_rank_seed=runner._randomness_cfg.get("diff_rank_seed", False),
        )
        if not len(self.mutator_dataloader):
            raise ValueError(
                "mutator_dataloader gives no batch. Check its dataset, or lower its "
                "batch_size."
            )
        self._second: Iterator[Any] = iter(())

    def run_epoch(self) -> None:
        """Iterate one epoch."""
        self._second = self._passes()
        super().run_epoch()

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Train on a batch of each stream.

        Args:
            idx: Place in the epoch.
            data_batch: Batch of the first stream. Hooks and model get a pair.
        """
        super().run_iter(idx, [data_batch, next(self._second)])

    def _passes(self) -> Iterator[Any]:
        """Yield batches of the second stream without end."""
        loader = self.mutator_dataloader
        passes = -(-len(self.dataloader) // len(loader))
        sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
        for number in range(passes):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(self.epoch * passes + number)
            yield from loader
