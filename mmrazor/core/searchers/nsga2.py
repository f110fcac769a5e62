# NSGA-II (Deb et al., 2002, https://doi.org/10.1109/4235.996017): fast non-dominated
# sort and crowding distance, on matrices instead of linked lists.
"""Order points by Pareto dominance and crowding; larger is better in every column."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def non_dominated_fronts(points: Points) -> list[list[int]]:
    """Split points into fronts: the first is dominated by none, the next by that only.

    A point dominates another if it is nowhere worse and somewhere better.

    Args:
        points: Shape ``(N, M)``, larger is better.

    Returns:
        Indices by front, ascending in each.

    Example:
        >>> non_dominated_fronts(np.array([[1., 1.], [2., 0.], [0., 0.], [1., 1.]]))
        [[0, 1, 3], [2]]
    """
    nowhere_worse = np.ones((len(points), len(points)), dtype=bool)
    somewhere_better = ~nowhere_worse
    for column in points.T:
        nowhere_worse &= column[:, None] >= column[None, :]
        somewhere_better |= column[:, None] > column[None, :]
    dominates = nowhere_worse & somewhere_better
    left = dominates.sum(0)
    fronts = []
    alive = np.ones(len(points), dtype=bool)
    while alive.any():
        front = alive & (left == 0)
        fronts.append(np.flatnonzero(front).tolist())
        alive &= ~front
        left = left - dominates[front].sum(0)
    return fronts


def crowding_distance(points: Points) -> Points:
    """Return how far the neighbours of each point of one front are apart.

    Over all columns, the distance between the next point above and the next below as a
    share of the column's span; infinite at the ends.

    Args:
        points: Shape ``(N, M)``.

    Returns:
        Shape ``(N,)``.

    Example:
        >>> crowding_distance(np.array([[0., 4.], [1., 3.], [4., 0.]])).tolist()
        [inf, 2.0, inf]
    """
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if span > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance


def crowded_order(points: Points) -> list[int]:
    """Return indices, best first: by front, then crowding distance, then as given.

    Args:
        points: Shape ``(N, M)``, larger is better. With one column it is a plain sort.

    Example:
        >>> crowded_order(np.array([[3.], [5.], [3.], [4.]]))
        [1, 3, 0, 2]
    """
    if points.shape[1] == 1:
        return np.argsort(-points[:, 0], kind="stable").tolist()
    order: list[int] = []
    for front in non_dominated_fronts(points):
        distance = crowding_distance(points[front])
        order += [front[i] for i in np.argsort(-distance, kind="stable")]
    return order
