"""Formulas of the paper written as loops, and by hand."""

import math

import pytest
import torch

from mmrazor.models.ops import (
    annealed_inverse_temperature,
    fusion_log_probabilities,
    inter_filter_divergence,
    kept_slots,
)


def by_loops(filters, inverse_temperature):
    """Return p_ij of equation: softmax of negative distances over t = 1 / T."""
    count = len(filters)
    rows = []
    for i in range(count):
        weights = []
        for j in range(count):
            squares = [
                (a - b) ** 2 for a, b in zip(filters[i], filters[j], strict=True)
            ]
            weights.append(math.exp(-math.sqrt(sum(squares)) * inverse_temperature))
        rows.append([w / sum(weights) for w in weights])
    return rows


def divergence_by_loops(filters, inverse_temperature):
    p = by_loops(filters, inverse_temperature)
    count = len(p)
    return [
        sum(
            sum(p[i][k] * math.log(p[i][k] / p[j][k]) for k in range(count))
            for j in range(count)
        )
        / count
        for i in range(count)
    ]


@pytest.mark.parametrize("inverse_temperature", [0.3, 1.0, 4.0])
def test_probabilities_are_those_of_the_loops(inverse_temperature):
    filters = torch.randn(30, 7, generator=torch.Generator().manual_seed(0)).double()
    expected = torch.tensor(by_loops(filters.tolist(), inverse_temperature)).double()
    found = fusion_log_probabilities(filters, inverse_temperature).exp()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    chosen = torch.tensor([5, 2, 29])
    some = fusion_log_probabilities(filters, inverse_temperature, chosen).exp()
    torch.testing.assert_close(some, expected[chosen], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("inverse_temperature", [0.3, 1.0, 4.0])
def test_divergence_is_that_of_the_loops(inverse_temperature):
    filters = torch.randn(9, 5, generator=torch.Generator().manual_seed(1)).double()
    expected = divergence_by_loops(filters.tolist(), inverse_temperature)
    found = inter_filter_divergence(filters, inverse_temperature)
    torch.testing.assert_close(found, torch.tensor(expected).double())


def test_divergence_by_hand():
    # Distances 0, ln 2, ln 4 on a line: weights 1, 1/2, 1/4 and so on.
    filters = torch.tensor([[0.0], [math.log(2)], [math.log(4)]])
    p = [[4 / 7, 2 / 7, 1 / 7], [1 / 4, 1 / 2, 1 / 4], [1 / 7, 2 / 7, 4 / 7]]
    kl_01 = 4 / 7 * math.log(16 / 7) + 2 / 7 * math.log(4 / 7) + 1 / 7 * math.log(4 / 7)
    kl_02 = 4 / 7 * math.log(4) - 1 / 7 * math.log(4)
    kl_10 = 1 / 4 * math.log(7 / 16) + 1 / 2 * math.log(7 / 4) + 1 / 4 * math.log(7 / 4)
    found = fusion_log_probabilities(filters, 1.0).exp()
    torch.testing.assert_close(found, torch.tensor(p))
    expected = torch.tensor(
        [(kl_01 + kl_02) / 3, 2 * kl_10 / 3, (kl_01 + kl_02) / 3]
    ).double()
    torch.testing.assert_close(
        inter_filter_divergence(filters, 1.0), expected, rtol=1e-6, atol=1e-7
    )


def test_at_a_large_inverse_temperature_a_filter_is_itself():
    filters = 0.02 * torch.randn(64, 90, generator=torch.Generator().manual_seed(2))
    found = fusion_log_probabilities(filters, 1e4).exp()
    assert torch.equal(found, torch.eye(64))
    assert inter_filter_divergence(filters, 1e4).isfinite().all()


def test_equal_filters_share_and_diverge_from_nothing():
    filters = torch.ones(4, 3)
    found = fusion_log_probabilities(filters, 1e4).exp()
    torch.testing.assert_close(found, torch.full((4, 4), 0.25))
    assert inter_filter_divergence(filters, 1e4).tolist() == [0.0] * 4


@pytest.mark.parametrize("rate", [0.05, 1.0, 3.0])
def test_the_temperature_follows_the_formula(rate):
    end, first, last = 8, 1.0, 1e4
    x = math.exp(-rate * end)
    a = 2 * (last - first) * (1 + x) / (1 - x)
    for time in range(end + 1):
        expected = a / (1 + math.exp(-rate * time)) + first - a / 2
        found = annealed_inverse_temperature(time, end, first, last, rate)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert annealed_inverse_temperature(0, end, first, last, rate) == first
    assert annealed_inverse_temperature(end, end, first, last, rate) == last
    assert annealed_inverse_temperature(0, 0, first, last, rate) == last


@pytest.mark.parametrize(
    ("before", "chosen", "after"),
    [
        ([0, 1, 2], [2, 1, 0], [0, 1, 2]),
        ([3, 1, 4], [5, 9, 2], [2, 5, 9]),
        ([3, 1, 4], [4, 0, 3], [3, 0, 4]),
    ],
)
def test_who_stays_keeps_the_place(before, chosen, after):
    assert kept_slots(before, chosen) == after
