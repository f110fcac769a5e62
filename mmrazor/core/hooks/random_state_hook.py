# mmengine restores weights, optimizer, schedulers and counters on resume, not the
# random state. Lightning and Composer store the generators' states in the checkpoint;
# this hook derives them instead, see the class for the reason.
"""A resumed run equals an uninterrupted one, dropout and augmentation included."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.device import get_device
from mmengine.dist import broadcast_object_list, get_dist_info
from mmengine.hooks import Hook
from mmengine.logging import print_log
from torch.utils.data import DataLoader, IterableDataset

from mmrazor.registry import HOOKS

from .random_streams import (
    EPOCH_STREAM,
    STEP_STREAM,
    NumberedSampler,
    SeededFetch,
    mixed_seed,
    seed_generators_,
)

_INFO_KEY = "random_state"


@HOOKS.register_module()
class RandomStateHook(Hook):
    """Make Python's, NumPy's, torch's and CUDA's random state follow the progress.

    The state is not stored, it is a function of where the run is:

    - before training step ``i`` the process of rank ``r`` is seeded from
      ``(seed, r, i)``: dropout, stochastic depth, mixup, sampling of boxes;
    - before the ``n``-th sample of epoch ``e`` is read, the process that reads it is
      seeded from ``(seed, e, n)``: augmentation. ``n`` counts over all ranks, and over
      all passes of an iteration-based loop.

    Why not save and restore the states? Only rank 0 writes checkpoints. The state of
    a worker process lies some prefetched batches ahead of the step that is saved, and
    a restarted worker begins anew. mmengine resumes an iteration-based loop by moving
    the sampler on without reading the samples. Creating the iterator of a validation
    loader draws from the main generator. A state that depends on the position alone
    is exact in all these cases: epoch- and iteration-based loops, any number of
    workers, persistent or not, started by fork or spawn, any number of ranks. Besides,
    the augmentation of a run depends neither on the number of workers nor on how a
    global batch is divided among processes.

    The checkpoint holds two numbers in mmengine's message hub, ``seed`` and the
    sampler's seed, so that a run whose seed was drawn by chance resumes with it.

    Not covered: a checkpoint written in the middle of an epoch of an *epoch-based*
    loop (mmengine begins that epoch again), ``fast_forward_on_resume=True``,
    iterable datasets, samplers whose items are not integers, transforms that keep
    samples from earlier calls (mmdet's ``CachedMosaic``), and CUDA kernels that are not
    deterministic (``randomness=dict(deterministic=True)``).

    Example:
        >>> custom_hooks = [dict(type='mmrazor.RandomStateHook')]
    """

    # Before every other hook, so that a hook that draws numbers draws the same ones.
    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.seed = 0
        self.rank = 0
        self.accelerator = False
        self.sampler: NumberedSampler | None = None
        self.warned = False

    def before_train(self, runner: Any) -> None:
        """Take the seed, from the checkpoint if there is one, and number the draws."""
        loader: DataLoader = runner.train_loop.dataloader
        source = _sampler_of(loader)
        known = runner.message_hub.runtime_info.get(_INFO_KEY)
        if known is None:
            sampler_seed = getattr(source, "seed", None)
            # With diff_rank_seed the seed of rank 0 is the one all ranks derive from.
            shared = [{"seed": int(runner.seed), "sampler_seed": sampler_seed}]
            broadcast_object_list(shared)
            known = shared[0]
            runner.message_hub.update_info(_INFO_KEY, known)
        elif known["sampler_seed"] is not None and hasattr(source, "seed"):
            source.seed = known["sampler_seed"]
        self.seed = known["seed"]
        self.rank, _ = get_dist_info()
        self.accelerator = get_device() != "cpu"
        obstacle = _obstacle(runner.train_loop)
        if obstacle is None:
            self.sampler = _number_draws_(loader, self.seed)
        else:
            self._warn(obstacle)

    def before_train_epoch(self, runner: Any) -> None:
        """Seed what hooks and samplers do at the start of an epoch."""
        self._seed(EPOCH_STREAM, runner.epoch)
        if self.sampler is not None:
            self.sampler.start_epoch(runner.epoch)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed the step."""
        self._seed(STEP_STREAM, runner.iter)
        if self.sampler is not None and self.sampler.unnumbered and not self.warned:
            self._warn(f"its sampler draws {sorted(self.sampler.unnumbered)}")

    def _seed(self, stream: int, number: int) -> None:
        seed = mixed_seed(self.seed, stream, self.rank, number)
        seed_generators_(seed, self.accelerator)

    def _warn(self, reason: str) -> None:
        self.warned = True
        print_log(
            "RandomStateHook cannot number the samples of the train_dataloader: "
            f"{reason}. The random state of the steps is exact, but the augmentation "
            "of a resumed run may differ from that of an uninterrupted one.",
            logger="current",
            level=logging.WARNING,
        )


def _sampler_of(loader: DataLoader) -> Any:
    """Return the sampler that really draws: the batch sampler's, where it has one."""
    return getattr(loader.batch_sampler, "sampler", None)


def _obstacle(loop: Any) -> str | None:
    """Say why the draws of a training loop cannot be numbered, if so."""
    loader = loop.dataloader
    if isinstance(loader.dataset, IterableDataset):
        return "its dataset is iterable"
    if _sampler_of(loader) is None:
        return "its batch sampler has no attribute 'sampler'"
    if not hasattr(loader.dataset, "__dict__"):
        return f"{type(loader.dataset).__name__} takes no new attributes"
    iterator = getattr(loop, "dataloader_iterator", None)
    running = getattr(iterator, "_iterator", None) or getattr(loader, "_iterator", None)
    known = isinstance(_sampler_of(loader), NumberedSampler)
    if loader.num_workers > 0 and running is not None and not known:
        return "its workers were started before training"  # mmengine up to 0.10.7
    return None


def _number_draws_(loader: DataLoader, seed: int) -> NumberedSampler:
    """Put a counter around the loader's sampler and seeds before its reads."""
    source = _sampler_of(loader)
    if isinstance(source, NumberedSampler):  # a second train() of one runner
        return source
    loader.dataset.__getitems__ = SeededFetch(loader.dataset, seed)  # type: ignore
    numbered = NumberedSampler(source, seed, *get_dist_info())
    for holder in (loader, loader.batch_sampler):
        if getattr(holder, "sampler", None) is source:
            # DataLoader forbids a new sampler because its batch sampler would keep
            # the old one; here both change together.
            object.__setattr__(holder, "sampler", numbered)
    return numbered
