"""Batches that are decoded once and shown to every candidate."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class KeptBatches:
    """Batches of a data loader, always the same ones in the same order.

    They stay in memory as far as the limit goes, and are decoded again beyond it, with
    the same augmentation. Every process has all of them, also where the loader's
    sampler would deal them out to ranks.

    Args:
        loader: Says the dataset, batch size, collation and workers.
        num_samples: How many. None: all, in order.
        shuffle: Whether they are drawn from all of the dataset, by the seed.
        limit_bytes: What may be kept.
        seed: Of the augmentation and of what is drawn.

    Raises:
        ValueError: If the dataset is empty or too small.
    """

    def __init__(
        self,
        loader: DataLoader,
        num_samples: int | None = None,
        shuffle: bool = False,
        limit_bytes: int = 4 * 2**30,
        seed: int = 0,
    ) -> None:
        dataset: Any = loader.dataset
        size = len(dataset)
        wanted = size if num_samples is None else num_samples
        if not 0 < wanted <= size:
            raise ValueError(
                f"{type(dataset).__name__} has {size} samples, and "
                f"{max(wanted, 1)} are needed. Check its paths and filters, or ask for "
                "fewer."
            )
        order = np.random.default_rng(seed).permutation(size) if shuffle else None
        indices = list(range(size)) if order is None else order.tolist()
        step = loader.batch_size or 1
        self._indices = [
            indices[i : min(i + step, wanted)] for i in range(0, wanted, step)
        ]
        self._loader, self._seed, self._limit = loader, seed, limit_bytes
        self._kept: list[Any] = []
        self._used, self._full = 0, False

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def num_kept(self) -> int:
        """Batches that are in memory."""
        return len(self._kept)

    def num_samples(self, num_batches: int) -> int:
        """Return the samples in the first batches."""
        return sum(map(len, self._indices[:num_batches]))

    def first(self, num_batches: int) -> Iterator[Any]:
        """Yield the first batches; what is done to one does not reach the kept one.

        Tensors and arrays are not copied: they must not be changed in place.
        """
        yield from map(_lent, self._kept[:num_batches])
        begin = min(len(self._kept), num_batches)
        for batch in self._decoded(begin, num_batches):
            self._keep(begin, batch)
            begin += 1
            yield _lent(batch)

    def _decoded(self, begin: int, end: int) -> Iterator[Any]:
        if begin == end:
            return iter(())
        return iter(
            DataLoader(
                _Seeded(self._loader.dataset, self._seed),
                batch_sampler=self._indices[begin:end],
                collate_fn=self._loader.collate_fn,
                num_workers=self._loader.num_workers,
                pin_memory=self._loader.pin_memory,
                generator=torch.Generator(),  # or it would draw from the global one
            )
        )

    def _keep(self, index: int, batch: Any) -> None:
        if self._full or index != len(self._kept):
            return
        size = num_bytes(batch)
        self._full = self._used + size > self._limit
        if not self._full:
            self._kept.append(batch)
            self._used += size


class _Seeded(Dataset):
    """A dataset whose augmentation depends on the index and nothing else."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        seed = int(np.random.default_rng([self.seed, index]).integers(2**32))
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        try:
            return self.dataset[index]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])


def arrays_in(value: Any) -> Iterator[Any]:
    """Yield the tensors and arrays in nested values, data samples and masks included.

    Example:
        >>> batch = {'image': [np.zeros((2, 3), np.uint8)], 'label': np.ones(1)}
        >>> [array.nbytes for array in arrays_in(batch)]
        [6, 8]
    """
    if isinstance(value, Tensor | np.ndarray):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from arrays_in(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from arrays_in(item)
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        yield from arrays_in(vars(value))


def num_bytes(batch: Any) -> int:
    """Return about how much memory a batch takes.

    Example:
        >>> num_bytes({'image': [np.zeros((2, 3), np.uint8)], 'label': np.ones(1)})
        14
    """
    return sum(int(array.nbytes) for array in arrays_in(batch))


def _lent(batch: Any) -> Any:
    """Return a copy that shares tensors and arrays: models write into data samples."""
    return copy.deepcopy(batch, {id(array): array for array in arrays_in(batch)})
