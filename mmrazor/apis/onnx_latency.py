# Two files that are timed one after the other are timed under different loads of the
# machine. Here they take turns, so that what slows one of them slows them all.
"""Time ONNX files in ONNX Runtime, in turns, on one thread, one image at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.cost import LatencyStats
from ..models.architectures.onnx_session import onnx_session

#: Passes of one turn; the first one fills the caches and is not timed.
_PASSES = 10
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


class OnnxLatencyError(ValueError):
    """An ONNX file that cannot be timed on one image."""


def one_image_call(
    file: str | os.PathLike[str], image_size: Sequence[int]
) -> Callable[[], Any]:
    """Return a function that runs an ONNX file on one image, on one thread of the CPU.

    Args:
        file: The file.
        image_size: Height and width, if the file leaves them open.

    Raises:
        OnnxLatencyError: If the file does not take one image.
    """
    session = onnx_session(file, threads=1)
    feed = random_feed(session.get_inputs(), image_size, str(file))
    return lambda: session.run(None, feed)


def in_turns(
    calls: Mapping[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, LatencyStats]:
    """Time functions in turns.

    Args:
        calls: Functions by name.
        rounds: Turns that each gets: one pass that is not timed and nine that are.
        clock: Seconds.

    Raises:
        ValueError: If there are no rounds.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds} must be at least 1.")
    times_ms: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            for _ in range(_PASSES - 1):
                start = clock()
                call()
                times_ms[name].append((clock() - start) * 1e3)
    return {name: LatencyStats.of(times) for name, times in times_ms.items()}


def random_feed(
    inputs: Sequence[Any], image_size: Sequence[int], file: str
) -> dict[str, np.ndarray]:
    """Return one image for the inputs of a session: noise, and zeros for integers.

    Args:
        inputs: With ``name``, ``shape`` and ``type``, as ONNX Runtime describes them.
        image_size: Height and width, where a shape leaves them open.
        file: Its name, for errors.

    Raises:
        OnnxLatencyError: If an input has another type, or does not take one image.
    """
    rng = np.random.default_rng(0)
    feed = {}
    for one in inputs:
        if one.type not in _TYPES:
            raise OnnxLatencyError(
                f"'{file}' has an input '{one.name}' of {one.type}; known are "
                f"{sorted(_TYPES)}. Export the model with such inputs."
            )
        shape = _one_image(one, image_size, file)
        kind: Any = _TYPES[one.type]
        is_float = np.issubdtype(kind, np.floating)
        values = rng.standard_normal(shape) if is_float else np.zeros(shape)
        feed[one.name] = values.astype(kind)
    return feed


def _one_image(one: Any, image_size: Sequence[int], file: str) -> list[int]:
    if not one.shape:
        return []
    batch, *rest = one.shape
    if isinstance(batch, int) and batch != 1:
        raise OnnxLatencyError(
            f"'{file}' takes batches of {batch} images and no single one. Export it "
            "with an open batch size."
        )
    if len(rest) == 3:
        rest = [rest[0], *_filled(rest[1:], image_size)]
    if not all(isinstance(length, int) for length in rest):
        raise OnnxLatencyError(
            f"'{file}' leaves the shape of '{one.name}' open: {one.shape}. Export it "
            "for images of one size."
        )
    return [1, *rest]


def _filled(sides: Sequence[Any], image_size: Sequence[int]) -> list[Any]:
    pairs = zip(sides, image_size, strict=True)
    return [side if isinstance(side, int) else size for side, size in pairs]
