"""The processes of one search: rank 0 leads, all evaluate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import distributed

T = TypeVar("T")


def rank() -> int:
    """Return the number of this process, 0 if it is alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def num_ranks() -> int:
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def from_leader(make: Callable[[], T]) -> T:
    """Return on every rank what ``make`` returns on rank 0; only that one calls it.

    Raises:
        RuntimeError: On the other ranks, if ``make`` raises on rank 0, where its error
            goes on. So no rank waits for one that is gone.
    """
    if num_ranks() == 1:
        return make()
    error: Exception | None = None
    message: list[Any] = [None, None]
    if rank() == 0:
        try:
            message = [make(), None]
        except Exception as err:  # noqa: BLE001 - goes on below
            error = err
            message = [None, f"{type(err).__name__}: {err}"]
    distributed.broadcast_object_list(message, src=0)
    if error is not None:
        raise error
    if message[1] is not None:
        raise RuntimeError(f"Rank 0 ended the search. {message[1]}")
    made: T = message[0]
    return made


def gathered(item: T) -> list[T]:
    """Return the items of all ranks, in order."""
    if num_ranks() == 1:
        return [item]
    items: list[Any] = [None] * num_ranks()
    distributed.all_gather_object(items, item)
    return items
