# All ties at once, by connected components. What is left open are the grids: a split
# dim (heads by width, conv groups by channels, parts by offsets) may lose slices along
# one of its dims only. Grids that share channels choose together: what keeps most of
# them prunable wins, then what the rules prefer, then what leaves most channels to
# choose.
"""Turn the constraints on ids into classes of channels that live or die together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

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
    solved: dict[bytes, list[int]] = {}
    for members in _grid_components(grids, couplings, frozen, labels):
        problem = _Problem(members, grids, couplings, frozen, axes)
        key = problem.key()  # the blocks of a stage pose the same problem
        chosen = solved.get(key)
        if chosen is None:
            chosen = solved[key] = problem.solve()
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


@dataclass(frozen=True)
class _Consequence:
    """What follows from one dim for one grid; classes as indices into ``known``.

    Args:
        pairs: Classes that are tied, shape ``(2, n)``.
        freezes: Classes that must stay, and why.
    """

    pairs: Ids
    freezes: list[tuple[Ids, str]]


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
        couplings_of = [couplings[index] for index in members]
        arrays = [grid.ids.ravel() for grid in self.grids]
        arrays += [c.part.ravel() for each in couplings_of for c in each]
        self.known = np.unique(np.concatenate(arrays))
        self.stuck = np.array([int(i) in frozen for i in self.known], dtype=bool)
        self.axis, self.on_axis = axes.places(self.known)
        self.ids = [self._local(grid.ids) for grid in self.grids]
        self.inside = [np.unique(ids) for ids in self.ids]
        self.couplings = [
            [Coupling(c.grid, c.dims, self._local(c.part)) for c in each]
            for each in couplings_of
        ]
        self._consequences: dict[tuple[int, int], _Consequence] = {}
        self._scores: dict[tuple[int, ...], tuple[int, ...]] = {}

    def key(self) -> bytes:
        """Return what is the same for problems with the same solution."""
        digest = sha256()
        for grid, ids, couplings in zip(
            self.grids, self.ids, self.couplings, strict=True
        ):
            parts = [(c.dims, c.part.shape) for c in couplings]
            own = (ids.shape, grid.votes, sorted(grid.forbidden), parts)
            digest.update(repr(own).encode())
            for array in (ids, *(c.part for c in couplings)):
                digest.update(np.ascontiguousarray(array).data)
        for array in (self.stuck, self.axis, self.on_axis):
            digest.update(np.ascontiguousarray(array).data)
        return digest.digest()

    def solve(self) -> list[int]:
        """Return the dim of each grid."""
        best: tuple[tuple[int, ...], list[int]] | None = None
        most = sum(len(own) > 1 and not self.stuck[own].all() for own in self.inside)
        most_votes = sum(max(grid.votes) for grid in self.grids)
        for start in (
            self._followed(self._voted()),
            self._followed(self._forced()),
            [grid.ids.ndim - 1 for grid in self.grids],
            [0 for _ in self.grids],
        ):
            score = self.score(start)
            if best is None or score > best[0]:
                best = (score, start)
            if best[0][:3] == (most, 0, most_votes):
                return best[1]
        assert best is not None
        score, modes = best
        if score[:2] == (most, 0) or len(self.grids) > _EXHAUSTIVE:
            return modes
        for index, grid in enumerate(self.grids):
            for mode in range(grid.ids.ndim):
                trial = [*modes[:index], mode, *modes[index + 1 :]]
                value = self.score(trial)
                if value > score:
                    score, modes = value, trial
        return modes

    def _voted(self) -> dict[int, int]:
        """Return the grids for which the rules prefer a dim, with that dim."""
        dims = {i: int(np.argmax(g.votes)) for i, g in enumerate(self.grids)}
        return {
            index: dim
            for index, dim in dims.items()
            if self.grids[index].votes[dim] and dim not in self.grids[index].forbidden
        }

    def _forced(self) -> dict[int, int]:
        """Return the grids of which one dim alone leaves something, with that dim."""
        dims = {index: self._open(index) for index in range(len(self.grids))}
        return {index: open_[0] for index, open_ in dims.items() if len(open_) == 1}

    def _followed(self, first: dict[int, int]) -> list[int]:
        """Let grids follow those whose dims are given.

        A grid follows along a dim whose slices are tied already, in itself or in what
        is coupled with it; of those that follow later some may depend on it. If none
        is, the one follows that ties least by it. Dims that are forbidden, or along
        which something coupled would have to stay, are taken last.
        """
        modes = [first.get(index, 0) for index in range(len(self.grids))]
        left = [index for index in range(len(self.grids)) if index not in first]
        labels = np.arange(len(self.known))
        pairs = [self._consequence(index, mode).pairs for index, mode in first.items()]
        while left:
            labels = _joined(labels, pairs)
            pairs = []
            rest = []
            for index in left:
                tied = [d for d in self._open(index) if self._is_tied(index, d, labels)]
                if not tied:
                    rest.append(index)
                    continue
                modes[index] = max(tied, key=self._length(index))
                pairs.append(self._consequence(index, modes[index]).pairs)
            if len(rest) == len(left):
                _, place, dim = min(
                    (self._untied(index, dim, labels), place, dim)
                    for place, index in enumerate(rest)
                    for dim in self._open(index)
                )
                index = rest.pop(place)
                modes[index] = dim
                pairs.append(self._consequence(index, dim).pairs)
            left = rest
        return modes

    def _open(self, index: int) -> list[int]:
        """Return the dims of a grid along which most is left to choose."""
        grid = self.grids[index]
        dims = [d for d in range(grid.ids.ndim) if d not in grid.forbidden]
        free = [d for d in dims if all(d in c.dims for c in self.couplings[index])]
        return free or dims or list(range(grid.ids.ndim))

    def _untied(self, index: int, dim: int, labels: Ids) -> float:
        """Return which share of a grid the slices along a dim would newly tie."""
        ids = labels[self.ids[index]]
        rows = np.moveaxis(ids, dim, 0).reshape(ids.shape[dim], -1)
        apart = np.unique(np.arange(len(rows))[:, None] * len(labels) + rows).size
        return (apart - len(rows)) / ids.size

    def _length(self, index: int) -> Callable[[int], int]:
        return lambda dim: self.ids[index].shape[dim]

    def _is_tied(self, index: int, dim: int, labels: Ids) -> bool:
        if _slices_equal(labels[self.ids[index]], dim):
            return True
        return any(
            len(c.dims) > 1
            and dim in c.dims
            and _slices_equal(labels[c.part], c.dims.index(dim))
            for c in self.couplings[index]
        )

    def score(self, modes: list[int]) -> tuple[int, ...]:
        """Tell how good a choice is.

        Returns:
            Grids left to prune; axes that would go as a whole or not at all, negative;
            votes followed; channels to choose from.
        """
        key = tuple(modes)
        if key not in self._scores:
            self._scores[key] = self._score(modes)
        return self._scores[key]

    def _score(self, modes: list[int]) -> tuple[int, ...]:
        found = [self._consequence(index, mode) for index, mode in enumerate(modes)]
        labels = _joined(np.arange(len(self.known)), [each.pairs for each in found])
        stuck = np.zeros(len(self.known), dtype=bool)
        stuck[labels[self.stuck]] = True
        for each in found:
            for ids, _ in each.freezes:
                stuck[labels[ids]] = True
        alive = votes = units = 0
        for grid, own, mode in zip(self.grids, self.inside, modes, strict=True):
            inside = np.unique(labels[own])
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

    def consequences(self, modes: list[int]) -> tuple[Pairs, list[tuple[Ids, str]]]:
        """Return what a choice ties, and what it freezes."""
        found = [self._consequence(index, mode) for index, mode in enumerate(modes)]
        pairs = [self.known[each.pairs] for each in found]
        freezes = [(self.known[ids], why) for one in found for ids, why in one.freezes]
        return [(pair[0], pair[1]) for pair in pairs], freezes

    def _consequence(self, index: int, mode: int) -> _Consequence:
        if (index, mode) not in self._consequences:
            self._consequences[index, mode] = self._found(index, mode)
        return self._consequences[index, mode]

    def _found(self, index: int, mode: int) -> _Consequence:
        grid, ids = self.grids[index], self.ids[index]
        rows = np.moveaxis(ids, mode, 0).reshape(ids.shape[mode], -1)
        first = rows[:, :1]
        freezes: list[tuple[Ids, str]] = []
        tied = [(first, rows[:, 1:])]
        if mode in grid.forbidden:
            freezes.append((self.inside[index], grid.forbidden[mode]))
        for coupling in self.couplings[index]:
            part = coupling.part
            if mode not in coupling.dims:
                why = "lies along a dim that stays whole"
                freezes.append((np.unique(part), why))
                continue
            place = coupling.dims.index(mode)
            tied.append(
                (first, np.moveaxis(part, place, 0).reshape(part.shape[place], -1))
            )
        # large grids say the same many times
        codes = [
            np.unique(one * len(self.known) + others).ravel() for one, others in tied
        ]
        code = np.unique(np.concatenate(codes))
        pairs = np.stack(np.divmod(code, len(self.known)))
        return _Consequence(pairs[:, pairs[0] != pairs[1]], freezes)


def _joined(labels: Ids, pairs: list[Ids]) -> Ids:
    """Return labels after classes were tied, shape ``(2, n)`` each."""
    if not pairs:
        return labels
    count = int(labels.max()) + 1
    return _components(count, [(labels[a], labels[b]) for a, b in pairs])[labels]


def _slices_equal(labels: Ids, dim: int) -> bool:
    rows = np.moveaxis(labels, dim, 0).reshape(labels.shape[dim], -1)
    return bool((rows == rows[:, :1]).all())
