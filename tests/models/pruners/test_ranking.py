"""Rankings against slow ones: every threshold tried in turn, with exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrazor.models.pruners.ranking import (
    allowed_widths,
    floor_width,
    global_counts,
    local_counts,
    top_units,
)


@st.composite
def cases(draw):
    """Sizes, widths, scores (with ties) and a bilinear cost that grows with each."""
    names = ["a", "b", "c"][: draw(st.integers(2, 3))]
    sizes = {name: draw(st.integers(1, 12)) for name in names}
    widths = {}
    for name, size in sizes.items():
        step = draw(st.integers(1, min(3, size)))
        most = size // step
        widths[name] = range(step * draw(st.integers(1, most)), size + 1, step)
    scores = {
        name: np.array(draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)), float)
        for name, n in sizes.items()
    }
    # some units are much cheaper than others, so that room is left for many of them
    weights = [draw(st.sampled_from([1, 3, 20, 50])) for _ in names]

    def cost(counts):
        values = list(counts.values())
        line = sum(w * v for w, v in zip(weights, values, strict=True))
        return line + sum(a * b for a, b in pairwise(values))

    least = cost({name: ladder[0] for name, ladder in widths.items()})
    dense = cost({name: ladder[-1] for name, ladder in widths.items()})
    return sizes, widths, scores, cost, draw(st.integers(least, max(least, dense)))


def slow_floor(ladder, count):
    return max([w for w in ladder if w <= count], default=ladder[0])


def slow_local(sizes, widths, cost, most):
    shares = {Fraction(w, sizes[n]) for n, ladder in widths.items() for w in ladder}
    best = None
    for share in sorted({Fraction(0), *shares}):
        counts = {n: slow_floor(w, share * sizes[n]) for n, w in widths.items()}
        if cost(counts) <= most:
            best = share, counts
    share, counts = best
    steps = [
        (Fraction(counts[n] + w.step, sizes[n]), i, n)
        for i, (n, w) in enumerate(widths.items())
        if counts[n] + w.step in w and Fraction(counts[n], sizes[n]) <= share
    ]
    for _, _, name in sorted(steps):
        more = {**counts, name: counts[name] + widths[name].step}
        counts = more if cost(more) <= most else counts
    return counts


def slow_global(scores, widths, cost, most):
    units = [
        (-s, i, name) for i, name in enumerate(widths) for s in sorted(scores[name])
    ]
    units.sort()
    for above in range(len(units) + 1):
        kept = [name for _, _, name in units[:above]]
        counts = {n: slow_floor(w, kept.count(n)) for n, w in widths.items()}
        if cost(counts) > most:
            break
        best = counts
    while True:
        offers = []
        for i, (name, ladder) in enumerate(widths.items()):
            now, more = best[name], best[name] + ladder.step
            if more in ladder and cost({**best, name: more}) <= most:
                mean = sum(sorted(scores[name])[::-1][now:more]) / ladder.step
                offers.append((-mean, i, name, more))
        if not offers:
            return best
        _, _, name, more = min(offers)
        best = {**best, name: more}


@settings(max_examples=200)
@given(cases())
def test_local_is_the_slow_one(case):
    sizes, widths, _, cost, most = case
    counts = local_counts(sizes, widths, lambda c: cost(c) <= most)
    assert counts == slow_local(sizes, widths, cost, most)


@settings(max_examples=200)
@given(cases())
def test_global_is_the_slow_one(case):
    _, widths, scores, cost, most = case
    counts = global_counts(scores, widths, lambda c: cost(c) <= most)
    assert counts == slow_global(scores, widths, cost, most)


@settings(max_examples=200)
@given(cases())
def test_nothing_more_fits_a_global_ranking(case):
    _, widths, scores, cost, most = case
    counts = global_counts(scores, widths, lambda c: cost(c) <= most)
    assert cost(counts) <= most
    for name, ladder in widths.items():
        assert counts[name] in ladder
        more = counts[name] + ladder.step
        assert more not in ladder or cost({**counts, name: more}) > most


@settings(max_examples=200)
@given(cases())
def test_shares_of_a_local_ranking_are_alike(case):
    sizes, widths, _, cost, most = case
    counts = local_counts(sizes, widths, lambda c: cost(c) <= most)
    assert cost(counts) <= most
    # Groups at their ends aside, two shares are less than a step of each apart.
    free = [n for n, w in widths.items() if w[0] < counts[n] < w[-1]]
    for one in free:
        for other in free:
            gap = Fraction(counts[one], sizes[one])
            gap -= Fraction(counts[other], sizes[other])
            steps = Fraction(widths[one].step, sizes[one])
            steps += Fraction(widths[other].step, sizes[other])
            assert gap < steps


@settings(max_examples=200)
@given(cases(), st.integers(0, 60))
def test_a_larger_budget_costs_no_less(case, more):
    sizes, widths, scores, cost, most = case
    for choose in (
        lambda fits: local_counts(sizes, widths, fits),
        lambda fits: global_counts(scores, widths, fits),
    ):
        small = choose(lambda c: cost(c) <= most)
        large = choose(lambda c: cost(c) <= most + more)
        assert cost(small) <= cost(large)


def test_equal_scores_go_to_the_earlier_group():
    scores = {"a": np.ones(3), "b": np.ones(3)}
    widths = {"a": range(1, 4), "b": range(1, 4)}
    counts = global_counts(scores, widths, lambda c: sum(c.values()) <= 4)
    assert counts == {"a": 3, "b": 1}
    assert top_units(np.array([1.0, 2.0, 1.0, 1.0]), 2) == [0, 1]


@settings(max_examples=200)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.data())
def test_top_units(scores, data):
    count = data.draw(st.integers(0, len(scores)))
    ranked = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    assert top_units(np.array(scores, float), count) == sorted(ranked[:count])


@settings(max_examples=200)
@given(st.integers(1, 40), st.integers(1, 24), st.integers(1, 6), st.integers(1, 6))
def test_widths_are_all_multiples_from_the_least_on(size, divisor, channels, least):
    expected = [
        units
        for units in range(min(least, size), size + 1)
        if units * channels % divisor == 0
    ]
    if expected:
        assert list(allowed_widths("g", size, divisor, channels, least)) == expected
    else:
        with pytest.raises(ValueError, match="divisor .* group 'g'"):
            allowed_widths("g", size, divisor, channels, least)


@pytest.mark.parametrize(
    ("size", "min_keep", "least"),
    [
        (100, 0.07, 7),
        (100, 0.071, 8),
        (10, 1.0, 10),
        (10, 0.01, 1),
        (10, 1, 1),
        (3, 5, 3),
    ],
)
def test_least_width(size, min_keep, least):
    assert allowed_widths("g", size, min_keep=min_keep)[0] == least


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (
            (48, 64),
            r"divisor 64 is larger than group 'x' \(48 channels\); take",
        ),
        ((3, 64, 48), "a multiple of 4 units of group 'x', which has 3 units of 48 ch"),
        ((50, 16, 1, 1.0), r"divisor 16 and min_keep 1.0 leave group 'x' \(50 .* 48\."),
    ],
)
def test_divisors_that_leave_no_width(arguments, match):
    with pytest.raises(ValueError, match=match):
        allowed_widths("x", *arguments)


def test_floor_width():
    ladder = range(8, 25, 8)
    found = [floor_width(ladder, count) for count in (0, 8, 15, 16, 23, 24, 99)]
    assert found == [8, 8, 8, 16, 16, 24, 24]


def test_room_below_the_threshold_goes_to_the_best_units():
    scores = {"dear": [9, 8], "a": [7, 1], "b": [6, 2], "c": [5, 3]}
    scores = {name: np.array(values, float) for name, values in scores.items()}
    widths = {name: range(1, 3) for name in scores}

    def cost(counts):
        return 50 * counts["dear"] + counts["a"] + counts["b"] + counts["c"]

    # the second dear unit is above all others and never fits; 53 is the least
    for most, more in ((54, "c"), (55, "bc"), (56, "abc")):
        counts = global_counts(scores, widths, lambda c, most=most: cost(c) <= most)
        assert counts == {name: 1 + (name in more) for name in scores}


def test_room_goes_by_the_mean_of_the_units_of_a_step():
    scores = {"dear": [9, 9, 9, 9], "a": [8, 8, 5, 0], "b": [8, 8, 3, 3]}
    scores = {name: np.array(values, float) for name, values in scores.items()}
    widths = {name: range(2, 5, 2) for name in scores}
    counts = global_counts(
        scores, widths, lambda c: 50 * c["dear"] + c["a"] + c["b"] <= 106
    )
    assert counts == {"dear": 2, "a": 2, "b": 4}
