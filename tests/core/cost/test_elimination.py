from __future__ import annotations

from itertools import product

import hypothesis.strategies as st
from hypothesis import given

from mmrazor.core.cost.elimination import Table, least_sum

NAMES = "abcde"


@st.composite
def tables(draw: st.DrawFn) -> list[Table]:
    sizes = {name: draw(st.integers(1, 3)) for name in NAMES}
    found: list[Table] = []
    for _ in range(draw(st.integers(0, 5))):
        names = tuple(draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True)))
        keys = product(*(range(sizes[name]) for name in names))
        found.append((names, {key: draw(st.integers(-20, 20)) for key in keys}))
    return found


def by_trying_all(found: list[Table]) -> int:
    domains: dict[str, set[int]] = {}
    for names, table in found:
        for key in table:
            for name, value in zip(names, key, strict=True):
                domains.setdefault(name, set()).add(value)
    sums = []
    for combination in product(*domains.values()):
        value = dict(zip(domains, combination, strict=True))
        sums.append(sum(t[tuple(value[n] for n in names)] for names, t in found))
    return min(sums)


@given(tables())
def test_equals_trying_all_values(found: list[Table]) -> None:
    assert least_sum(found) == (by_trying_all(found), True)


@given(tables())
def test_a_limit_gives_a_lower_bound_and_says_so(found: list[Table]) -> None:
    bound, exact = least_sum(found, most_entries=2)
    assert bound <= by_trying_all(found)
    assert not exact or bound == by_trying_all(found)


def test_tables_apart_are_a_bound_that_is_not_reached() -> None:
    first = (("a",), {(0,): 0, (1,): 5})
    second = (("a", "b"), {(0, 0): 7, (0, 1): 7, (1, 0): 1, (1, 1): 1})
    assert least_sum([first, second]) == (6, True)
    assert least_sum([first, second], most_entries=1) == (1, False)
