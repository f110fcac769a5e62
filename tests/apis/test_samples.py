"""Samples that cannot be read are named, in whatever a loader reads them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from mmrazor.apis.samples import SampleError, name_samples_
from mmrazor.core.hooks.random_streams import SeededFetch


class Numbers(Dataset):
    """The fourth cannot be read."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        results = {"img_path": f"photos/{index}.png"}
        if index == 4:
            raise ValueError(f"bad header of {len(results)}")
        return torch.tensor(index)


class InBatches(Numbers):
    """Reads whole batches itself."""

    def __getitems__(self, indices):
        return [torch.tensor(index) for index in indices]


EXPECTED = r"Sample 4 of Numbers, file 'photos/4.png' cannot be read: ValueError: bad "


@pytest.mark.parametrize("num_workers", [0, 1])
def test_sample_is_named(num_workers):
    dataset = Numbers()
    name_samples_(dataset)
    loader = DataLoader(dataset, 2, num_workers=num_workers)
    with pytest.raises(SampleError, match=EXPECTED):
        list(loader)


def test_file_is_found_inside_other_datasets():
    dataset = ConcatDataset([Numbers(), Numbers()])
    name_samples_(dataset)
    with pytest.raises(SampleError, match=r"Sample 4 of ConcatDataset, file 'photos/4"):
        list(DataLoader(dataset, 3))


def test_runs_that_draw_by_number_name_it_too():
    dataset = Numbers()
    name_samples_(dataset)
    for _ in range(2):  # a second run
        dataset.__getitems__ = SeededFetch(dataset, 0)
    with pytest.raises(SampleError, match=EXPECTED):
        list(DataLoader(dataset, 3))
    assert [int(x) for x in dataset.__getitems__([1, 3])] == [1, 3]


def test_others_are_left_alone():
    dataset = InBatches()
    name_samples_(dataset)
    assert "__getitems__" not in vars(dataset)
    assert len(list(DataLoader(dataset, 2))) == 3
    name_samples_(iter([1]))


def test_copies_read_their_own():
    dataset = Numbers()
    name_samples_(dataset)
    name_samples_(dataset)
    for other in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert vars(other)["__getitems__"].dataset is other
