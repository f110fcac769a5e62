# All ties at once, by connected components. What is left open are the grids: a split
# dim (heads by width, conv groups by channels, parts by offsets) may lose slices along
# one of its dims only. Grids that share channels choose together: what keeps most of
# them prunable wins, then what the rules prefer, then what leaves most channels to
# choose.
"""Turn the constraints on ids into classes of channels that live or die together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .id_flow import Constraints, Coupling, Grid, Ids

Pairs = list[tuple[Ids, Ids]]
_EXHAUSTIVE = 24


@dataclass(frozen=True)
class Classes:
    """The result.

    Args:
        labels: Class of every id.
        reasons: Why a class may not be dropped, for those that may not.
        modes: Dim along which every grid may lose slices.
    """

    labels: Ids
    reasons: dict[int, str]
    modes: list[int]


def resolve(noted: Constraints) -> Classes:
    """Resolve the constraints that an :class:`IdFlow` noted."""
    labels = _components(noted.size, noted.ties)
    frozen: dict[int, str] = {}
    _freeze(frozen, labels, noted.frozen)
    grids = [_relabelled(grid, labels) for grid in noted.grids]
    couplings: dict[int, list[Coupling]] = defaultdict(list)
    for each in noted.couplings:
        couplings[each.grid].append(Coupling(each.grid, each.dims, labels[each.part]))
    axes = _Axes(noted, labels)
    modes = [0] * len(grids)
    ties: Pairs = []
    late: list[tuple[Ids, str]] = []
    for members in _grid_components(grids, couplings, frozen, labels):
        problem = _Problem(members, grids, couplings, frozen, axes)
        chosen = problem.solve()
        for index, mode in zip(members, chosen, strict=True):
            modes[index] = mode
        pairs, freezes = problem.consequences(chosen)
        ties += pairs
        late += freezes
    count = int(labels.max()) + 1 if len(labels) else 0
    second = _components(count, ties)
    final = second[labels] if len(labels) else labels
    reasons: dict[int, str] = {}
    for label, reason in frozen.items():
        reasons.setdefault(int(second[label]), reason)
    _freeze(reasons, second, late)
    return Classes(final, reasons, modes)


def _components(count: int, ties: Pairs) -> Ids:
    if not ties or not count:
        return np.arange(count)
    first = np.concatenate([a for a, _ in ties])
    second = np.concatenate([b for _, b in ties])
    ones = np.ones(len(first), dtype=np.int8)
    graph = coo_matrix((ones, (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _freeze(
    reasons: dict[int, str], labels: Ids, frozen: list[tuple[Ids, str]]
) -> None:
    for ids, reason in frozen:
        for label in np.unique(labels[ids]):
            reasons.setdefault(int(label), reason)


def _relabelled(grid: Grid, labels: Ids) -> Grid:
    return Grid(labels[grid.ids], grid.votes, grid.forbidden)


def _grid_components(
    grids: list[Grid],
    couplings: dict[int, list[Coupling]],
    frozen: dict[int, str],
    labels: Ids,
) -> list[list[int]]:
    """Group the grids that share classes, directly or through a coupled line."""
    if not grids:
        return []
    offset = int(labels.max()) + 1
    ties: Pairs = []
    stuck = np.zeros(offset, dtype=bool)
    stuck[list(frozen)] = True
    for index, grid in enumerate(grids):
        parts = [grid.ids.ravel(), *(c.part.ravel() for c in couplings[index])]
        inside = np.unique(np.concatenate(parts))
        inside = inside[~stuck[inside]]
        ties.append((inside, np.full(len(inside), offset + index)))
    found = _components(offset + len(grids), ties)[offset:]
    members: dict[int, list[int]] = defaultdict(list)
    for index, component in enumerate(found):
        members[int(component)].append(index)
    return list(members.values())


class _Axes:
    """Tells on which parameter axes a class lies."""

    def __init__(self, noted: Constraints, labels: Ids) -> None:
        parts = [labels[first : first + size] for first, size in noted.axes.values()]
        flat = np.concatenate(parts) if parts else np.empty(0, np.int64)
        axis = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        order = np.argsort(flat, kind="stable")
        self.labels, self.axis = flat[order], axis[order]

    def places(self, known: Ids) -> tuple[Ids, Ids]:
        """Return pairs of an axis and a class on it, as its index in ``known``."""
        first = np.searchsorted(self.labels, known, "left")
        times = np.searchsorted(self.labels, known, "right") - first
        which = np.repeat(np.arange(len(known)), times)
        steps = np.arange(len(which)) - np.repeat(np.cumsum(times) - times, times)
        found = self.axis[first[which] + steps]
        return np.unique(found, return_inverse=True)[1], which


class _Problem:
    """Choice of a dim for each of some grids that depend on each other."""

    def __init__(
        self,
        members: list[int],
        grids: list[Grid],
        couplings: dict[int, list[Coupling]],
        frozen: dict[int, str],
        axes: _Axes,
    ) -> None:
        self.grids = [grids[index] for index in members]
        self.couplings = [couplings[index] for index in members]
        arrays = [grid.ids.ravel() for grid in self.grids]
        arrays += [c.part.ravel() for each in self.couplings for c in each]
        self.known = np.unique(np.concatenate(arrays))
        self.stuck = np.array([int(i) in frozen for i in self.known], dtype=bool)
        self.axis, self.on_axis = axes.places(self.known)

    def solve(self) -> list[int]:
        """Return the dim of each grid."""
        best: tuple[tuple[int, ...], list[int]] | None = None
        most_votes = sum(max(grid.votes) for grid in self.grids)
        for start in (
            self._followed(),
            [grid.ids.ndim - 1 for grid in self.grids],
            [0 for _ in self.grids],
        ):
            score = self.score(start)
            if best is None or score > best[0]:
                best = (score, start)
            if best[0][:3] == (len(self.grids), 0, most_votes):
                return best[1]
        assert best is not None
        score, modes = best
        if score[:2] == (len(self.grids), 0) or len(self.grids) > _EXHAUSTIVE:
            return modes
        for index, grid in enumerate(self.grids):
            for mode in range(grid.ids.ndim):
                trial = [*modes[:index], mode, *modes[index + 1 :]]
                value = self.score(trial)
                if value > score:
                    score, modes = value, trial
        return modes

    def _followed(self) -> list[int]:
        """Do what the rules prefer; let grids without a preference follow the others.

        A grid follows along the dim whose slices are tied already. Without one it takes
        its longest dim that is not forbidden.
        """
        voted = [any(grid.votes) for grid in self.grids]
        modes = [int(np.argmax(grid.votes)) for grid in self.grids]
        pairs, _ = self.consequences(modes, voted)
        local = [(self._local(a), self._local(b)) for a, b in pairs]
        labels = _components(len(self.known), local)
        for index, grid in enumerate(self.grids):
            if voted[index]:
                continue
            inside = labels[self._local(grid.ids.ravel())].reshape(grid.ids.shape)
            dims = [d for d in range(inside.ndim) if d not in grid.forbidden]
            if not dims:
                continue
            tied = [d for d in dims if _slices_equal(inside, d)]
            modes[index] = max(tied or dims, key=lambda d: inside.shape[d])
        return modes

    def score(self, modes: list[int]) -> tuple[int, ...]:
        """Tell how good a choice is.

        Returns:
            Grids left to prune; axes that would go as a whole or not at all, negative;
            votes followed; channels to choose from.
        """
        pairs, freezes = self.consequences(modes)
        local = [(self._local(a), self._local(b)) for a, b in pairs]
        labels = _components(len(self.known), local)
        stuck = np.zeros(len(self.known), dtype=bool)
        stuck[labels[self.stuck]] = True
        for ids, _ in freezes:
            stuck[labels[self._local(ids)]] = True
        alive = votes = units = 0
        for grid, mode in zip(self.grids, modes, strict=True):
            inside = np.unique(labels[self._local(grid.ids.ravel())])
            free = int((~stuck[inside]).sum())
            if free > 0 and len(inside) > 1:
                alive += 1
                units += free
                votes += grid.votes[mode]
        places = np.unique(self.axis * len(self.known) + labels[self.on_axis])
        axis, label = np.divmod(places, max(len(self.known), 1))
        free_units = np.bincount(axis[~stuck[label]])
        return alive, -int((free_units == 1).sum()), votes, units

    def _local(self, ids: Ids) -> Ids:
        return np.searchsorted(self.known, ids)

    def consequences(
        self, modes: list[int], only: list[bool] | None = None
    ) -> tuple[Pairs, list[tuple[Ids, str]]]:
        """Return what a choice ties, and what it freezes."""
        pairs: Pairs = []
        freezes: list[tuple[Ids, str]] = []
        for index, (grid, couplings, mode) in enumerate(
            zip(self.grids, self.couplings, modes, strict=True)
        ):
            if only is not None and not only[index]:
                continue
            rows = np.moveaxis(grid.ids, mode, 0).reshape(grid.ids.shape[mode], -1)
            if rows.shape[1] > 1:
                first = np.repeat(rows[:, :1], rows.shape[1] - 1, axis=1)
                pairs.append((first.ravel(), rows[:, 1:].ravel()))
            if mode in grid.forbidden:
                freezes.append((grid.ids.ravel(), grid.forbidden[mode]))
            for coupling in couplings:
                part = coupling.part
                if mode not in coupling.dims:
                    freezes.append((part.ravel(), "lies along a dim that stays whole"))
                    continue
                place = coupling.dims.index(mode)
                lines = np.moveaxis(part, place, 0).reshape(part.shape[place], -1)
                first = np.repeat(rows[:, :1], lines.shape[1], axis=1)
                pairs.append((first.ravel(), lines.ravel()))
        return pairs, freezes


def _slices_equal(labels: Ids, dim: int) -> bool:
    rows = np.moveaxis(labels, dim, 0).reshape(labels.shape[dim], -1)
    return bool((rows == rows[:, :1]).all())
