# Counter-based randomness, as in Salmon et al., "Parallel Random Numbers: As Easy as
# 1, 2, 3" (SC 2011, https://doi.org/10.1145/2063384.2063405): the state of a step is a
# hash of its number, not of what ran before. The hash is splitmix64 (Steele et al.,
# OOPSLA 2014). Here it seeds the ordinary generators instead of replacing them.
"""Random state as a function of a seed and a position, and samplers that count."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

_MASK = (1 << 64) - 1

# First numbers of the streams, so that no two of them ever meet.
STEP_STREAM, SAMPLE_STREAM, SAMPLER_STREAM, EPOCH_STREAM = range(4)


def mixed_seed(*numbers: int) -> int:
    """Hash integers, in order, to one seed of 64 bits.

    Example:
        >>> mixed_seed(0, 1) == mixed_seed(0, 1), mixed_seed(0, 1) == mixed_seed(1, 0)
        (True, False)
    """
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = ((state ^ (number & _MASK)) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def seed_generators_(seed: int, accelerator: bool = False) -> None:
    """Seed Python's, NumPy's and torch's global generators, in place.

    Args:
        seed: 64 bits, as ``mixed_seed`` returns.
        accelerator: Seed the generators of CUDA and other devices too; it costs about
            ten times the rest.
    """
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    if accelerator:
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


class DrawnIndex(int):
    """Index of a sample that knows which draw of which epoch it is.

    It travels to the worker processes in place of the plain index.
    """

    epoch: int
    draw: int

    def __new__(cls, index: int, epoch: int, draw: int) -> DrawnIndex:
        """Make an ``int`` with two more numbers."""
        drawn = super().__new__(cls, index)
        drawn.epoch = epoch
        drawn.draw = draw
        return drawn

    def __reduce__(self) -> tuple[type, tuple[int, int, int]]:
        return DrawnIndex, (int(self), self.epoch, self.draw)


class NumberedSampler(Sampler):
    """Number what another sampler draws, counting over all ranks.

    Rank ``r`` of ``w`` gives its ``n``-th index the number ``n * w + r``: with
    samplers that deal indices out to the ranks in turn, as mmengine's do, a draw keeps
    its number whatever the number of processes.

    Args:
        sampler: The sampler whose indices are numbered; all other attributes
            (``set_epoch``, ``dataset``, ...) are its own.
        seed: Seeds the global generators where a pass over ``sampler`` begins, for
            samplers that shuffle with them.
        rank: This process.
        world_size: Number of processes.
    """

    def __init__(
        self, sampler: Sampler, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.sampler = sampler
        self.base_seed = seed
        self.rank = rank
        self.world_size = world_size
        self.run_epoch = 0
        self.position = 0
        self.unnumbered: set[str] = set()
        if hasattr(sampler, "skip"):
            self.skip = self._skip

    def start_epoch(self, epoch: int) -> None:
        """Count from zero again; not called between the passes of one epoch."""
        self.run_epoch = epoch
        self.position = 0

    def _skip(self, num_samples: int) -> None:
        """Go to an absolute position, as mmengine does when it resumes."""
        self.sampler.skip(num_samples)  # type: ignore[attr-defined]
        self.position = num_samples

    def __iter__(self) -> Iterator[Any]:
        seed_generators_(
            mixed_seed(self.base_seed, SAMPLER_STREAM, self.run_epoch, self.position)
        )
        for index in self.sampler:
            draw = self.position * self.world_size + self.rank
            self.position += 1
            if isinstance(index, (int, np.integer)):
                yield DrawnIndex(int(index), self.run_epoch, draw)
            else:
                self.unnumbered.add(type(index).__name__)
                yield index

    def __len__(self) -> int:
        return len(self.sampler)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        if name == "sampler":  # not set yet
            raise AttributeError(name)
        return getattr(self.sampler, name)


class SeededFetch:
    """Read samples, each from the random state that belongs to its draw.

    Set as ``dataset.__getitems__``, which torch's DataLoader calls with the indices
    of one batch, in the main process or in a worker. What was set there before reads
    the samples, one by one.

    Args:
        dataset: A map-style dataset.
        seed: The run's seed, the same on all ranks.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        given = getattr(dataset, "__dict__", {}).get("__getitems__")
        self.read: Callable[[Sequence[int]], list[Any]] | None = (
            given.read if isinstance(given, SeededFetch) else given
        )

    def __call__(self, indices: Sequence[Any]) -> list[Any]:
        """Return the samples in the order of ``indices``."""
        whole_batch: Callable | None = getattr(type(self.dataset), "__getitems__", None)
        if whole_batch is not None:  # the dataset's own, for a batch at once
            self._seed_for(indices[0])
            return whole_batch(self.dataset, [_plain(index) for index in indices])
        samples = []
        for index in indices:
            self._seed_for(index)
            plain = _plain(index)
            one = self.dataset[plain] if self.read is None else self.read([plain])[0]
            samples.append(one)
        return samples

    def _seed_for(self, index: Any) -> None:
        if isinstance(index, DrawnIndex):
            seed_generators_(
                mixed_seed(self.seed, SAMPLE_STREAM, index.epoch, index.draw)
            )


def _plain(index: Any) -> Any:
    return int(index) if isinstance(index, DrawnIndex) else index
