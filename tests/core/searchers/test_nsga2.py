"""Fronts and crowding against their definitions, point by point."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmrazor.core.searchers.nsga2 import (
    crowded_order,
    crowding_distance,
    non_dominated_fronts,
)

points = st.integers(1, 3).flatmap(
    lambda m: st.integers(0, 12).flatmap(
        lambda n: arrays(np.float64, (n, m), elements=st.integers(0, 4).map(float))
    )
)


def dominates(a, b):
    pairs = list(zip(a, b, strict=True))
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)


def brute_fronts(rows):
    left, fronts = list(range(len(rows))), []
    while left:
        front = [i for i in left if not any(dominates(rows[j], rows[i]) for j in left)]
        fronts.append(front)
        left = [i for i in left if i not in front]
    return fronts


@given(points)
def test_fronts(rows):
    assert non_dominated_fronts(rows) == brute_fronts(rows.tolist())


@given(points)
def test_order_takes_whole_fronts_and_spreads(rows):
    order = crowded_order(rows)
    assert sorted(order) == list(range(len(rows)))
    if rows.shape[1] == 1:
        assert order == sorted(range(len(rows)), key=lambda i: -rows[i, 0])
        return
    rest = order
    for front in brute_fronts(rows.tolist()):
        taken, rest = rest[: len(front)], rest[len(front) :]
        assert sorted(taken) == front
        distance = dict(zip(front, crowding_distance(rows[front]), strict=True))
        assert taken == sorted(front, key=lambda i: -distance[i])


def test_crowding_by_hand():
    rows = np.array([[0.0, 10.0], [2.0, 7.0], [3.0, 3.0], [10.0, 0.0]])
    inner = [3 / 10 + 7 / 10, 8 / 10 + 7 / 10]
    assert np.allclose(crowding_distance(rows), [np.inf, *inner, np.inf])
    assert np.isinf(crowding_distance(np.array([[1.0, 1.0]]))).all()
    # of equal points two are ends, and the others are in nobody's way
    assert crowding_distance(np.ones((4, 2))).tolist() == [np.inf, 0, 0, np.inf]
