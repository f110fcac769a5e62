"""Batches are read once and never changed by a model; the loop's metrics come out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmrazor.apis.sensitivity_data import Batches, free_memory
from mmrazor.core.loops.kept_batches import num_bytes


class Loader:
    """Four batches of 40 bytes, and how often they were read."""

    dataset = "the dataset"

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Any:
        for number in range(4):
            self.reads += 1
            yield {"x": torch.full((10,), float(number))}


def passes(batches: Batches, number: int) -> list[list[float]]:
    """Return first values in several passes of a model that writes into its input."""
    found = []
    for _ in range(number):
        found.append([float(batch["x"][0]) for batch in batches])
        for batch in batches:
            batch["x"].fill_(-1)
    return found


def test_read_once_if_they_fit() -> None:
    loader = Loader()
    batches = Batches(loader, None, limit=160)
    assert passes(batches, 3) == [[0, 1, 2, 3]] * 3
    assert loader.reads == 4
    assert (len(batches), batches.dataset) == (4, "the dataset")


@pytest.mark.parametrize("limit", [0, 159])
def test_read_each_time_if_they_do_not(
    limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    loader = Loader()
    assert passes(Batches(loader, None, limit), 3) == [[0, 1, 2, 3]] * 3
    assert loader.reads == 24


def test_the_first_ones_and_a_call_after_each() -> None:
    loader, seen = Loader(), []
    batches = Batches(loader, 2, limit=80)
    batches.advance = lambda: seen.append(1)
    assert passes(batches, 2) == [[0, 1]] * 2
    assert len(seen) == 8
    assert (len(batches), loader.reads) == (2, 2)
    assert len(Batches(loader, 9, 0)) == 4


def test_a_pass_that_is_broken_off_keeps_nothing() -> None:
    loader = Loader()
    batches = Batches(loader, None, limit=160)
    next(iter(batches))
    assert passes(batches, 1) == [[0, 1, 2, 3]]


def test_bytes_of_what_batches_hold() -> None:
    boxes = InstanceData(bboxes=torch.zeros(3, 4), labels=torch.zeros(3).long())
    masks = SimpleNamespace(masks=np.zeros((2, 5), np.uint8), height=5)
    assert num_bytes({"inputs": [torch.zeros(2, 3).byte()], "boxes": boxes}) == 6 + 72
    assert num_bytes((masks, "text", 3, None)) == 10
    assert free_memory() > 2**20
