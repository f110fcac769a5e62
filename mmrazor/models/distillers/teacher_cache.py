"""Teacher's values kept in memory, for data whose views never change.

Without random augmentation a teacher says the same about a sample in every epoch. A
fingerprint of each input guards that assumption: a view that did change is an error,
not a wrong target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...registry import MODELS

_PROBES = 64  # input elements compared, spread evenly over the sample
_KEYS = ("sample_idx", "img_id", "img_path")

Values = dict[str, list[Tensor]]


class TeacherCacheError(RuntimeError):
    """Data or values that cannot be cached by sample."""


@MODELS.register_module()
class TeacherCache:
    """Keep a teacher's recorded values by sample, on the CPU.

    Each process keeps the samples it has seen. A batch is taken from the cache when all
    its samples are there; else the teacher runs on the whole batch.

    Args:
        max_gigabytes: Memory the values may take, in GiB, for each process; samples
            beyond it are computed anew every time.

    Example:
        >>> TeacherCache(max_gigabytes=2).num_samples
        0
    """

    def __init__(self, max_gigabytes: float = 4.0) -> None:
        self.max_bytes = int(max_gigabytes * 2**30)
        self.num_bytes = 0
        self._samples: dict[Any, tuple[Tensor, Values]] = {}

    @property
    def num_samples(self) -> int:
        """Samples kept so far."""
        return len(self._samples)

    def values(
        self,
        compute: Callable[..., Values],
        inputs: Tensor,
        data_samples: Sequence[Any],
        **kwargs: Any,
    ) -> Values:
        """Return the values of a batch, from memory where every sample is known.

        Args:
            compute: The teacher's forward pass on the same arguments.
            inputs: Preprocessed batch, shape ``(B, ...)``.
            data_samples: One for each sample; names it by its metainfo.
            kwargs: Further arguments of ``compute``.

        Raises:
            TeacherCacheError: If a sample has no name, if its view changed, or if a
                value has no axis of samples.
        """
        if not isinstance(inputs, Tensor):
            raise TeacherCacheError(
                "The teacher cache needs batches stacked to one tensor; these are "
                f"{type(inputs).__name__}. Drop the cache from the config."
            )
        keys = [_sample_key(sample) for sample in data_samples]
        prints = _fingerprints(inputs)
        known = [self._samples.get(key) for key in keys]
        for key, mark, entry in zip(keys, prints, known, strict=True):
            if entry is not None and not torch.equal(entry[0], mark):
                raise TeacherCacheError(
                    f"sample {key} came with another view than before. The teacher "
                    "cache is right only without random augmentation: remove random "
                    "transforms (and batch-dependent padding) from the train "
                    "pipeline, or drop teacher_cache from the config."
                )
        entries = [entry[1] for entry in known if entry is not None]
        if len(entries) == len(keys):
            return _stacked(entries, inputs.device)
        values = compute(inputs, data_samples=data_samples, **kwargs)
        for number, (key, mark) in enumerate(zip(keys, prints, strict=True)):
            if key not in self._samples:
                self._keep(key, mark, _taken(values, number, len(keys)))
        return values

    def _keep(self, key: Any, mark: Tensor, values: Values) -> None:
        size = sum(t.numel() * t.element_size() for ts in values.values() for t in ts)
        if self.num_bytes + size <= self.max_bytes:
            self.num_bytes += size
            self._samples[key] = (mark, values)


def _sample_key(sample: Any) -> Any:
    for name in _KEYS:
        value = getattr(sample, name, None)
        if value is not None:
            return (name, value)
    raise TeacherCacheError(
        f"a data sample carries none of {list(_KEYS)}, by which its teacher values "
        "could be found again. Add one to meta_keys of the packing transform."
    )


def _fingerprints(inputs: Tensor) -> list[Tensor]:
    flat = inputs.detach().flatten(1)
    step = max(flat.shape[1] // _PROBES, 1)
    shape = torch.tensor([inputs.shape[1:]], dtype=torch.float64)
    probes = flat[:, ::step].to("cpu", torch.float64)
    return list(torch.cat([shape.expand(len(flat), -1), probes], dim=1))


def _taken(values: Values, number: int, batch: int) -> Values:
    for source, calls in values.items():
        for value in calls:
            if not isinstance(value, Tensor) or value.shape[:1] != (batch,):
                shape = getattr(value, "shape", None)
                raise TeacherCacheError(
                    f"'{source}' has shape {shape and tuple(shape)} for {batch} "
                    "samples; only values with one row for each sample can be cached. "
                    "Drop teacher_cache, or choose another source."
                )
    return {s: [v[number].to("cpu", copy=True) for v in c] for s, c in values.items()}


def _stacked(entries: list[Values], device: torch.device) -> Values:
    return {
        source: [
            torch.stack([entry[source][call] for entry in entries]).to(device)
            for call in range(len(calls))
        ]
        for source, calls in entries[0].items()
    }
