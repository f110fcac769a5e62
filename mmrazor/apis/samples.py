# An image that cannot be decoded fails deep in a library, often in a worker process,
# in words that say neither which image nor where it stands in the data set. torch's
# loaders ask a dataset for ``__getitems__`` first; an instance may have its own.
"""Say which sample of a dataset cannot be read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .error_kinds import explained, message
from .error_origin import location, places

_READER = "__getitems__"
_FILES = ("img_path", "filename", "filepath", "path", "file_name")
_MINE = os.path.realpath(__file__)


class SampleError(RuntimeError):
    """A sample of a dataset that cannot be read, with its index and file."""


class SampleReader:
    """Reads samples for a loader; an error says which.

    Args:
        dataset: A dataset with indices.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __call__(self, indices: Sequence[int]) -> list[Any]:
        """Return the samples with some indices.

        Raises:
            SampleError: If one cannot be read.
        """
        return [self._sample(index) for index in indices]

    def _sample(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as err:
            raise SampleError(sample_text(self.dataset, index, err)) from err


def name_samples_(dataset: Any) -> None:
    """Let a dataset say which sample failed, also in the workers of a loader.

    Args:
        dataset: With indices; one that reads whole batches itself, or has no indices,
            stays as it is.
    """
    if hasattr(dataset, "__getitem__") and not hasattr(dataset, _READER):
        setattr(dataset, _READER, SampleReader(dataset))


def sample_text(dataset: Any, index: int, err: BaseException) -> str:
    """Return what is said of a sample that cannot be read.

    Args:
        dataset: It is of this one.
        index: Its place there.
        err: What its reading ended with.
    """
    file = _file(err)
    named = f", file '{file}'" if file else ""
    size = ""
    if file and os.path.isfile(file):
        num_bytes = os.path.getsize(file)
        size = f" (the file has {num_bytes} bytes)" if num_bytes < 1024 else ""
    said = explained(err) or f"{type(err).__name__}: {message(err)}".rstrip(". ") + "."
    step = (
        "Replace the file, or take it out of the annotations."
        if file
        else f"It was raised at {location(err)}."
    )
    return (
        f"Sample {index} of {type(dataset).__name__}{named} cannot be read{size}: "
        f"{said} {step}"
    )


def _file(err: BaseException) -> str | None:
    """Return the file that a pipeline or a dataset was reading."""
    for frame, _ in reversed(places(err)):
        if os.path.realpath(frame.f_code.co_filename) == _MINE:
            continue
        for value in list(frame.f_locals.values()):
            if isinstance(value, Mapping):
                for key in _FILES:
                    if isinstance(value.get(key), (str, os.PathLike)):
                        return os.fspath(value[key])
        for name in _FILES:
            value = frame.f_locals.get(name)
            if isinstance(value, (str, os.PathLike)) and os.path.isfile(value):
                return os.fspath(value)
    return None
