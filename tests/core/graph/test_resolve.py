"""Constraints made by hand, and the classes that follow from them."""

from __future__ import annotations

import numpy as np
import pytest

from mmrazor.core.graph.id_flow import Constraints, Coupling, Grid
from mmrazor.core.graph.resolve import Classes, _Problem, resolve


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def grid(*shape: int, first: int = 0, votes: list[int] | None = None) -> Grid:
    made = np.arange(first, first + int(np.prod(shape))).reshape(shape)
    return Grid(made, votes or [0] * len(shape))


def parts(classes: Classes) -> list[list[int]]:
    """Return the classes as sorted lists of ids."""
    found: dict[int, list[int]] = {}
    for index, label in enumerate(classes.labels.tolist()):
        found.setdefault(label, []).append(index)
    return sorted(found.values())


def frozen(classes: Classes, *which: int) -> list[str | None]:
    return [classes.reasons.get(int(classes.labels[index])) for index in which]


def test_nothing_is_known() -> None:
    classes = resolve(Constraints(size=3))
    assert parts(classes) == [[0], [1], [2]]
    assert not classes.reasons


def test_no_ids() -> None:
    assert len(resolve(Constraints()).labels) == 0


def test_ties_are_transitive() -> None:
    noted = Constraints(size=6, ties=[(ids(0, 1), ids(2, 3)), (ids(3), ids(5))])
    assert parts(resolve(noted)) == [[0, 2], [1, 3, 5], [4]]


def test_frozen_ids_freeze_what_they_are_tied_to() -> None:
    noted = Constraints(size=4, ties=[(ids(0), ids(1))], frozen=[(ids(1), "a reason")])
    assert frozen(resolve(noted), 0, 1, 2) == ["a reason", "a reason", None]


def test_the_first_reason_is_kept() -> None:
    noted = Constraints(size=1, frozen=[(ids(0), "first"), (ids(0), "second")])
    assert frozen(resolve(noted), 0) == ["first"]


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([1, 0], [[0, 1, 2], [3, 4, 5]]),  # rows go
        ([0, 1], [[0, 3], [1, 4], [2, 5]]),  # columns go
        ([1, 2], [[0, 3], [1, 4], [2, 5]]),
        ([0, 0], [[0, 3], [1, 4], [2, 5]]),  # the longer dim
    ],
)
def test_votes_decide(votes: list[int], expected: list[list[int]]) -> None:
    assert (
        parts(resolve(Constraints(size=6, grids=[grid(2, 3, votes=votes)]))) == expected
    )


def test_forbidden_dims_are_not_chosen() -> None:
    columns = grid(2, 3, votes=[0, 5])
    columns.forbidden[1] = "fixed"
    classes = resolve(Constraints(size=6, grids=[columns]))
    assert parts(classes) == [[0, 1, 2], [3, 4, 5]]
    assert not classes.reasons


def test_a_grid_with_all_dims_forbidden_stays() -> None:
    stuck = grid(2, 3)
    stuck.forbidden |= {0: "no rows", 1: "no columns"}
    classes = resolve(Constraints(size=6, grids=[stuck]))
    assert set(frozen(classes, *range(6))) <= {"no rows", "no columns"}


def test_a_frozen_row_leaves_the_other_rows() -> None:
    noted = Constraints(
        size=6, grids=[grid(2, 3, votes=[1, 0])], frozen=[(ids(1), "stays")]
    )
    classes = resolve(noted)
    assert parts(classes) == [[0, 1, 2], [3, 4, 5]]
    assert frozen(classes, 0, 2, 3) == ["stays", "stays", None]


def test_a_frozen_row_does_not_stop_columns_from_being_avoided() -> None:
    """Columns would all be stuck; rows leave one to choose, and win."""
    noted = Constraints(
        size=6,
        grids=[grid(2, 3, votes=[0, 1])],
        frozen=[(ids(0, 1, 2), "the first row stays")],
    )
    classes = resolve(noted)
    assert parts(classes) == [[0, 1, 2], [3, 4, 5]]
    assert frozen(classes, 3) == [None]


def test_coupled_lines_go_with_their_slices() -> None:
    noted = Constraints(
        size=8,
        grids=[grid(2, 3, votes=[1, 0])],
        couplings=[Coupling(0, (0,), ids(6, 7))],
    )
    assert parts(resolve(noted)) == [[0, 1, 2, 6], [3, 4, 5, 7]]


def test_lines_along_the_other_dim_stay() -> None:
    noted = Constraints(
        size=9,
        grids=[grid(2, 3, votes=[1, 0])],
        couplings=[Coupling(0, (1,), ids(6, 7, 8))],
    )
    classes = resolve(noted)
    assert frozen(classes, 6, 0) == ["lies along a dim that stays whole", None]


def test_coupled_planes_go_with_their_slices() -> None:
    noted = Constraints(
        size=12,
        grids=[grid(2, 2, 2, votes=[0, 1, 0])],
        couplings=[Coupling(0, (0, 1), ids(8, 9, 10, 11).reshape(2, 2))],
    )
    # slices along dim 1: ids with the same second index, and the plane's columns
    assert parts(resolve(noted)) == [[0, 1, 4, 5, 8, 10], [2, 3, 6, 7, 9, 11]]


def test_grids_that_share_ids_choose_together() -> None:
    """Rows of one are columns of the other; a vote in one decides for both."""
    first = grid(2, 2, votes=[1, 0])
    second = Grid(first.ids.T.copy(), [0, 0])
    classes = resolve(Constraints(size=4, grids=[first, second]))
    assert parts(classes) == [[0, 1], [2, 3]]
    assert classes.modes == [0, 1]


def test_most_prunable_grids_win_over_votes() -> None:
    """Rows of the first tie all of the second together; columns leave both free."""
    first = grid(2, 3, votes=[1, 0])  # votes for rows
    second = Grid(ids(0, 1, 2), [0])  # a line: its ids are the first row's
    noted = Constraints(
        size=6,
        grids=[first, Grid(second.ids.reshape(1, 3), [0, 0])],
        couplings=[],
    )
    assert parts(resolve(noted)) == [[0, 3], [1, 4], [2, 5]]


def test_axes_that_would_go_as_a_whole_are_avoided() -> None:
    """A vote for rows is not followed if each row is all of a parameter's axis."""
    rows = grid(2, 3, votes=[1, 0])
    axes = {("first.weight", 0): (0, 3), ("second.weight", 0): (3, 3)}
    classes = resolve(Constraints(size=6, grids=[rows], axes=axes))
    assert parts(classes) == [[0, 3], [1, 4], [2, 5]]
    # one axis with both rows has two units to choose from: then the vote counts
    axes = {("both.weight", 0): (0, 6)}
    classes = resolve(Constraints(size=6, grids=[rows], axes=axes))
    assert parts(classes) == [[0, 1, 2], [3, 4, 5]]


def test_votes_are_followed_where_all_choices_leave_something() -> None:
    """The second grid has no votes and follows its longest dim, but rows suit both."""
    first = grid(2, 2, votes=[1, 0])
    second = grid(2, 3, first=4)
    coupled = [Coupling(0, (0,), ids(10, 11)), Coupling(1, (0,), ids(10, 11))]
    classes = resolve(Constraints(size=12, grids=[first, second], couplings=coupled))
    assert parts(classes) == [[0, 1, 4, 5, 6, 10], [2, 3, 7, 8, 9, 11]]


def test_separate_grids_do_not_influence_each_other() -> None:
    noted = Constraints(
        size=12, grids=[grid(2, 3, votes=[1, 0]), grid(2, 3, first=6, votes=[0, 1])]
    )
    assert parts(resolve(noted)) == [[0, 1, 2], [3, 4, 5], [6, 9], [7, 10], [8, 11]]


def test_a_long_chain_needs_no_recursion() -> None:
    size = 200_000
    chain = np.arange(size - 1)
    classes = resolve(Constraints(size=size, ties=[(chain, chain + 1)]))
    assert len(np.unique(classes.labels)) == 1


def test_a_grid_without_votes_follows_one_that_it_is_coupled_with() -> None:
    """More of them than choices are tried of: thirty joined grids, one with a vote."""
    count, size = 30, 12
    grids = [grid(3, 4, first=size * i) for i in range(count)]
    grids[0].votes[0] = 1
    lines = size * count
    couplings = [
        Coupling(i, dims, part)
        for i in range(1, count)
        for dims, part in (
            ((0, 1), grids[i - 1].ids),
            ((0,), np.arange(lines + 3 * i, lines + 3 * i + 3)),
        )
    ]
    noted = Constraints(
        size=lines + 3 * count, grids=grids[:1] + grids[1:][::-1], couplings=[]
    )
    places = {i: 0 if i == 0 else count - i for i in range(count)}
    noted.couplings += [Coupling(places[c.grid], c.dims, c.part) for c in couplings]
    classes = resolve(noted)
    assert not classes.reasons
    assert len(set(classes.labels[: size * count].tolist())) == 3


def test_the_same_problem_is_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    solve = _Problem.solve

    def counting(self: _Problem) -> list[int]:
        calls.append(len(self.grids))
        return solve(self)

    monkeypatch.setattr(_Problem, "solve", counting)
    same = [grid(2, 3, first=6 * i, votes=[1, 0]) for i in range(4)]
    other = [grid(2, 3, first=24, votes=[0, 1]), grid(2, 3, first=30)]
    other[1].forbidden[0] = "no"
    classes = resolve(Constraints(size=36, grids=[*same, *other]))
    assert len(calls) == 3
    modes = [[0, 1, 2], [3, 4, 5]]
    for i in range(4):
        assert [[x + 6 * i for x in row] for row in modes] == parts(classes)[
            2 * i : 2 * i + 2
        ]
    assert parts(classes)[8:11] == [[24, 27], [25, 28], [26, 29]]
    assert parts(classes)[11:] == [[30, 33], [31, 34], [32, 35]]
