import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader, Dataset

from mmrazor.core.hooks.random_streams import (
    DrawnIndex,
    NumberedSampler,
    SeededFetch,
    mixed_seed,
    seed_generators_,
)


def test_mixed_seed_is_splitmix64():
    """First outputs of splitmix64 from state 0, from its reference C code."""
    step = 0x9E3779B97F4A7C15
    # mixed_seed starts where the reference is before its first output.
    assert mixed_seed(step) == 0xE220A8397B1DCDAF
    assert len({mixed_seed(a, b) for a in range(50) for b in range(50)}) == 2500


@pytest.mark.parametrize("accelerator", [False, True])
def test_seed_generators_determines_all_three(accelerator):
    def drawn():
        return random.random(), np.random.rand(), torch.rand(1).item()

    seed_generators_(2**64 - 1, accelerator)
    first = drawn()
    assert drawn() != first
    seed_generators_(2**64 - 1, accelerator)
    assert drawn() == first


def test_drawn_index_is_an_int_that_travels():
    index = pickle.loads(pickle.dumps(DrawnIndex(3, 1, 7)))
    assert (index, index.epoch, index.draw) == (3, 1, 7)
    assert list(range(5))[index] == 3
    assert np.arange(5)[index] == 3


def numbers(sampler):
    return [(int(i), i.epoch, i.draw) for i in sampler]


def test_numbering_covers_all_ranks_once():
    dataset = list(range(6))
    found = []
    for rank in range(2):
        sampler = DefaultSampler(dataset, shuffle=False)
        sampler.rank, sampler.world_size = rank, 2
        sampler.num_samples, sampler.total_size = 3, 6
        numbered = NumberedSampler(sampler, 0, rank, 2)
        numbered.start_epoch(4)
        found += numbers(numbered)
    assert sorted(found) == [(i, 4, i) for i in range(6)]


def test_passes_of_one_epoch_go_on_counting():
    numbered = NumberedSampler(DefaultSampler(range(3), shuffle=False), 0)
    numbered.start_epoch(0)
    assert numbers(numbered) == [(0, 0, 0), (1, 0, 1), (2, 0, 2)]
    assert numbers(numbered) == [(0, 0, 3), (1, 0, 4), (2, 0, 5)]
    numbered.start_epoch(1)
    assert numbers(numbered)[0] == (0, 1, 0)


def test_skip_goes_where_an_unbroken_stream_is():
    whole = iter(NumberedSampler(InfiniteSampler(range(5), seed=3), 0))
    expected = [(int(i), i.draw) for i, _ in zip(whole, range(12), strict=False)][7:]
    numbered = NumberedSampler(InfiniteSampler(range(5), seed=3), 0)
    numbered.skip(7)
    found = [(int(i), i.draw) for i, _ in zip(numbered, range(5), strict=False)]
    assert found == expected


def test_the_wrapped_sampler_stays_in_reach():
    numbered = NumberedSampler(DefaultSampler(range(3)), 0)
    numbered.set_epoch(5)
    assert numbered.sampler.epoch == 5
    assert len(numbered) == 3
    assert not hasattr(numbered, "skip")
    assert hasattr(NumberedSampler(InfiniteSampler(range(3)), 0), "skip")


def test_items_that_are_not_integers_pass_and_are_noted():
    numbered = NumberedSampler([(0, 1), "a"], 0)
    assert list(numbered) == [(0, 1), "a"]
    assert numbered.unnumbered == {"tuple", "str"}


class Noise(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        assert type(index) is int
        return index, random.random(), np.random.rand(), torch.rand(1).item()


class BatchNoise(Noise):
    def __getitems__(self, indices):
        return [self[index] for index in indices]


@pytest.mark.parametrize("kind", [Noise, BatchNoise])
def test_samples_depend_on_the_draw_alone(kind):
    def epoch(dataset, number, workers, context=None):
        dataset.__getitems__ = SeededFetch(dataset, 1)
        numbered = NumberedSampler(DefaultSampler(dataset, shuffle=False), 1)
        numbered.start_epoch(number)
        loader = DataLoader(
            dataset,
            batch_sampler=BatchSampler(numbered, 2, False),
            num_workers=workers,
            collate_fn=list,
            multiprocessing_context=context,
        )
        return [tuple(sample) for batch in loader for sample in batch]

    first = epoch(kind(), 0, workers=0)
    assert epoch(kind(), 0, workers=2, context="fork") == first
    assert epoch(kind(), 0, workers=1, context="fork") == first
    other = epoch(kind(), 1, workers=0)
    assert {s[0] for s in other} == {s[0] for s in first}
    assert not {s[1:] for s in other} & {s[1:] for s in first}
