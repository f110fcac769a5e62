"""What is decoded once, and what is decoded again."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import BaseDataElement
from torch.utils.data import DataLoader, Dataset

from mmrazor.core.loops.kept_batches import KeptBatches


class Noisy(Dataset):
    """Samples with augmentation of every kind; counts what is decoded."""

    def __init__(self, size):
        self.size, self.decoded = size, []

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        self.decoded.append(index)
        noise = [random.random(), np.random.rand(), torch.rand(()).item()]
        inputs = torch.tensor([index, *noise], dtype=torch.float64)  # 32 bytes
        return {"inputs": inputs, "data_samples": BaseDataElement(label=index)}


def loader(size=10, batch_size=4, **settings):
    data = Noisy(size)
    return DataLoader(data, batch_size, collate_fn=pseudo_collate, **settings)


def rows(kept, count=None):
    found = kept.first(len(kept) if count is None else count)
    return [torch.stack(batch["inputs"]) for batch in found]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_decoded_once():
    source = loader()
    kept = KeptBatches(source)
    first = rows(kept)
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert torch.cat(first)[:, 0].tolist() == list(range(10))
    assert same(first, rows(kept))
    assert source.dataset.decoded == list(range(10))
    assert kept.num_kept == len(kept) == 3
    assert [kept.num_samples(n) for n in range(4)] == [0, 4, 8, 10]


@pytest.mark.parametrize("limit", [0, 4 * 32, 10 * 32 - 1])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_beyond_the_limit_it_is_decoded_the_same_way(limit, num_workers):
    whole = rows(KeptBatches(loader()))
    source = loader(num_workers=num_workers)
    kept = KeptBatches(source, limit_bytes=limit)
    for count in (3, 1, 3, 2):
        assert same(rows(kept, count), whole[:count])
    assert kept.num_kept == limit // (4 * 32)


def test_it_can_be_left_early():
    kept = KeptBatches(loader())
    next(iter(kept.first(3)))
    assert kept.num_kept == 1
    assert same(rows(kept), rows(KeptBatches(loader())))


def test_global_chance_is_left_alone():
    states = []
    for use in (False, True):
        random.seed(3), np.random.seed(3), torch.manual_seed(3)
        if use:
            rows(KeptBatches(loader()))
        states.append((random.random(), np.random.rand(), torch.rand(()).item()))
    assert states[0] == states[1]


def test_drawn_samples():
    first = torch.cat(rows(KeptBatches(loader(100), 30, shuffle=True)))
    again = torch.cat(rows(KeptBatches(loader(100), 30, shuffle=True)))
    other = torch.cat(rows(KeptBatches(loader(100), 30, shuffle=True, seed=1)))
    assert torch.equal(first, again)
    assert not torch.equal(first[:, 0], other[:, 0])
    indices = first[:, 0].tolist()
    assert len(set(indices)) == 30
    assert max(indices) > 60


def test_what_a_model_writes_into_data_samples_is_gone():
    kept = KeptBatches(loader())
    for batch in kept.first(3):
        batch["data_samples"][0].score = 0.5
        batch["inputs"].append(None)
    for batch in kept.first(3):
        assert "score" not in batch["data_samples"][0]
        assert None not in batch["inputs"]
        assert batch["inputs"][0] is not None


def test_tensors_are_shared():
    kept = KeptBatches(loader())
    first, second = (next(iter(kept.first(1)))["inputs"][0] for _ in range(2))
    assert first.data_ptr() == second.data_ptr()


def test_too_little_data():
    with pytest.raises(ValueError, match="Noisy has 0 samples, and 1 are needed"):
        KeptBatches(loader(0))
    with pytest.raises(ValueError, match="Noisy has 10 samples, and 4096 are needed"):
        KeptBatches(loader(10), 4096)
