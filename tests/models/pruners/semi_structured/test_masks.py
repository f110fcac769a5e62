"""The pattern is exact, whatever the scores."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmrazor.models.pruners.semi_structured import Pattern, magnitude_mask, nm_mask


@settings(max_examples=60)
@given(st.data())
def test_keeps_exactly_n_of_m_and_the_highest(data):
    m = data.draw(st.integers(1, 6))
    n = data.draw(st.integers(1, m))
    groups = data.draw(st.integers(1, 3))
    number = st.integers(-3, 3).map(float)  # few values: many ties
    values = data.draw(
        st.lists(number, min_size=2 * groups * m, max_size=2 * groups * m)
    )
    scores = torch.tensor(values).view(2, groups * m)
    mask = nm_mask(scores, n, m)
    for row, kept in zip(scores.tolist(), mask.tolist(), strict=True):
        for start in range(0, len(row), m):
            group = [(-row[j], j) for j in range(start, start + m)]
            wanted = {j for _, j in sorted(group)[:n]}  # the lower index where equal
            assert {j for j in range(start, start + m) if kept[j]} == wanted


def test_magnitude_is_the_best_of_all_masks():
    weight = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    mask = magnitude_mask(weight, 2, 4)
    for row, kept in zip(weight, mask, strict=True):
        for group, inside in zip(row.view(2, 4), kept.view(2, 4), strict=True):
            best = max(
                itertools.combinations(range(4), 2),
                key=lambda pair, values=group: values[list(pair)].abs().sum(),
            )
            assert tuple(inside.nonzero().flatten().tolist()) == best


def test_ties_are_settled_by_the_second_score():
    scores = torch.tensor([[0.0, 0.0, 1.0, 0.0]])
    ties = torch.tensor([[1.0, 3.0, 0.0, 2.0]])
    assert nm_mask(scores, 2, 4, ties).int().tolist() == [[0, 1, 1, 0]]
    assert nm_mask(scores, 3, 4, ties).int().tolist() == [[0, 1, 1, 1]]


def test_channels_last_groups_the_channels_of_one_kernel_position():
    weight = nn.Conv2d(8, 5, 3).weight.detach()
    mask = Pattern(2, 4, "channels_last").mask(weight.abs())
    by_position = mask.permute(0, 2, 3, 1).reshape(5, 9, 2, 4)
    assert (by_position.sum(-1) == 2).all()
    flat = Pattern(2, 4).mask(weight.abs())
    assert (flat.flatten(1).view(5, 18, 4).sum(-1) == 2).all()
    assert not flat.equal(mask)


def test_layouts_are_one_for_pointwise_and_linear_weights():
    for shape in ((6, 8), (6, 8, 1, 1)):
        weight = torch.randn(shape)
        first, second = (
            Pattern(1, 4, layout).mask(weight) for layout in ("flat", "channels_last")
        )
        assert first.equal(second)


@pytest.mark.parametrize(
    ("n", "m"), [(0, 4), (5, 4), (-1, 2), (2.0, 4), (2, "4"), (True, 2), (0, 0)]
)
def test_wrong_patterns(n, m):
    with pytest.raises(ValueError, match="is no pattern: n of m weights are kept"):
        Pattern(n, m)


def test_wrong_layout_and_size():
    with pytest.raises(ValueError, match="layout='nhwc' is none of"):
        Pattern(2, 4, "nhwc")
    with pytest.raises(ValueError, match="6 scores are not divisible by m=4"):
        nm_mask(torch.zeros(2, 6), 2, 4)


@pytest.mark.parametrize(
    ("shape", "layout", "reason"),
    [
        ((4, 3, 7, 7), "flat", "147 inputs (3x7x7) are not divisible by 4"),
        ((4, 10), "flat", "10 inputs are not divisible by 4"),
        ((4, 2, 2, 2), "channels_last", "2 input channels are not divisible by 4"),
        ((4, 2, 2, 2), "flat", ""),
        ((4, 8, 3, 3), "channels_last", ""),
    ],
)
def test_misfit_names_the_numbers(shape, layout, reason):
    assert Pattern(2, 4, layout).misfit(shape) == reason
