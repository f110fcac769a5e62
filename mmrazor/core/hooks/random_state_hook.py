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
# Loaders of a training loop, and where the seeds of their samplers are kept.
_LOADERS = {"dataloader": "sampler_seed", "mutator_dataloader": "mutator_sampler_seed"}


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

    The checkpoint holds a few numbers in mmengine's message hub, ``seed`` and the
    samplers' seeds, so that a run whose seed was drawn by chance resumes with it. The
    second stream of a :class:`~mmrazor.core.loops.BilevelLoop` is treated as the first.

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
        self.samplers: list[NumberedSampler] = []
        self.warned = False

    def before_train(self, runner: Any) -> None:
        """Take the seed, from the checkpoint if there is one, and number the draws."""
        loop = runner.train_loop
        loaders = {key: getattr(loop, key) for key in _LOADERS if hasattr(loop, key)}
        sources = {key: _sampler_of(loader) for key, loader in loaders.items()}
        known = runner.message_hub.runtime_info.get(_INFO_KEY)
        if known is None:
            # With diff_rank_seed the seed of rank 0 is the one all ranks derive from.
            seeds = {_LOADERS[k]: getattr(s, "seed", None) for k, s in sources.items()}
            shared = [{"seed": int(runner.seed), **seeds}]
            broadcast_object_list(shared)
            known = shared[0]
            runner.message_hub.update_info(_INFO_KEY, known)
        else:
            for key, source in sources.items():
                if known.get(_LOADERS[key]) is not None and hasattr(source, "seed"):
                    source.seed = known[_LOADERS[key]]
        self.seed = known["seed"]
        self.rank, _ = get_dist_info()
        self.accelerator = get_device() != "cpu"
        self.samplers = []
        for number, (key, loader) in enumerate(loaders.items()):
            obstacle = obstacle_to_numbers(loop, loader)
            if obstacle is None:
                seed = mixed_seed(self.seed, number) if number else self.seed
                self.samplers.append(number_draws_(loader, seed))
            else:
                self._warn(key, obstacle)

    def before_train_epoch(self, runner: Any) -> None:
        """Seed what hooks and samplers do at the start of an epoch."""
        self._seed(EPOCH_STREAM, runner.epoch)
        for sampler in self.samplers:
            sampler.start_epoch(runner.epoch)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed the step."""
        self._seed(STEP_STREAM, runner.iter)
        unnumbered = [s.unnumbered for s in self.samplers if s.unnumbered]
        if unnumbered and not self.warned:
            self._warn("dataloader", f"its sampler draws {sorted(unnumbered[0])}")

    def _seed(self, stream: int, number: int) -> None:
        seed = mixed_seed(self.seed, stream, self.rank, number)
        seed_generators_(seed, self.accelerator)

    def _warn(self, loader: str, reason: str) -> None:
        self.warned = True
        name = {"dataloader": "train_dataloader"}.get(loader, loader)
        print_log(
            f"RandomStateHook cannot number the samples of the {name}: "
            f"{reason}. The random state of the steps is exact, but the augmentation "
            "of a resumed run may differ from that of an uninterrupted one.",
            logger="current",
            level=logging.WARNING,
        )


def _sampler_of(loader: DataLoader) -> Any:
    """Return the sampler that really draws: the batch sampler's, where it has one."""
    return getattr(loader.batch_sampler, "sampler", None)


def obstacle_to_numbers(loop: Any, loader: DataLoader) -> str | None:
    """Say why the draws of a loader of a training loop cannot be numbered, if so."""
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


def number_draws_(loader: DataLoader, seed: int) -> NumberedSampler:
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
