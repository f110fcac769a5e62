"""Histograms against numpy's, however the data come in parts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmrazor.models.quantizers.observers.histogram import Histogram

NUMBERS = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
PARTS = st.lists(st.lists(NUMBERS, min_size=1, max_size=6), min_size=1, max_size=6)


def add(histogram, rows):
    histogram.add_(rows, rows.amin(1), rows.amax(1))
    return histogram


def check(histogram, row, numbers):
    """The edges are those of numpy's bins, and each bin ends before its upper edge."""
    edges = histogram.edges()[row].numpy()
    numbers = numbers.double().numpy()
    expected, _ = np.histogram(numbers, edges)
    at_end = (numbers == edges[-1]).sum()  # numpy's last bin has both its edges
    assert at_end == 0
    assert histogram.counts[row].tolist() == expected.tolist()
    assert int(histogram.counts[row].sum()) == len(numbers)


@given(PARTS, st.sampled_from([2, 5, 64]))
def test_parts_are_counted_as_one(parts, bins):
    tensors = [torch.tensor([part]) for part in parts]
    grown = Histogram(bins)
    for tensor in tensors:
        add(grown, tensor)
    whole = torch.cat(tensors, 1)
    once = add(Histogram(bins), whole)
    each = [dict(add(Histogram(bins), tensor).named_buffers()) for tensor in tensors]
    merged = Histogram(bins).merged(each)
    for name, buffer in once.named_buffers():
        assert torch.equal(dict(grown.named_buffers())[name], buffer), name
        assert torch.equal(merged[name], buffer), name
    check(once, 0, whole[0])


@given(PARTS, st.sampled_from([2, 5, 64]))
def test_bins_are_the_narrowest_that_cover_the_data_and_0(parts, bins):
    whole = torch.tensor([[number for part in parts for number in part]])
    histogram = add(Histogram(bins), whole)
    width = float(histogram.grid().width())
    ends = min(float(whole.min()), 0.0), max(float(whole.max()), 0.0)

    def used(width):
        return np.floor(ends[1] / width) - np.floor(ends[0] / width) + 1

    assert used(width) <= bins
    assert used(width / 2) > bins or ends == (0, 0) or width == 2.0**-126
    assert float(histogram.edges()[0, 0]) <= ends[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_are_apart(dtype):
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([[1.0], [1e-3], [0.0], [1e5]], dtype=dtype)
    parts = [torch.randn(4, 50, generator=generator, dtype=dtype) * sizes + 0.1 * sizes]
    parts.append(parts[0].abs() * 3)
    histogram = Histogram(32)
    for part in parts:
        add(histogram, part)
    for row in range(4):
        check(histogram, row, torch.cat(parts, 1)[row])
    assert histogram.low.dtype == dtype


def test_float64_beyond_float32():
    numbers = torch.tensor([[1e300, -1e250, 3.0]], dtype=torch.float64)
    check(add(Histogram(16), numbers), 0, numbers[0])


def test_one_bin_is_refused():
    with pytest.raises(ValueError, match="bins=1 is no number of bins"):
        Histogram(1)
