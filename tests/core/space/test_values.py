"""Values in Python and in files."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrazor.core.space.values import (
    is_kept_list,
    is_scalar,
    plain_tree,
    plain_value,
    shown,
    value_from_data,
    value_to_data,
)

from .strategies import SCALARS


@given(SCALARS | st.sets(st.integers(0, 99)).map(sorted))
def test_data_and_back(value: object) -> None:
    found = value_from_data(value_to_data(value))
    assert found == value
    assert type(found) is type(value)


@given(st.lists(st.integers(-2, 6), max_size=5))
def test_kept_lists_are_sorted_sets_from_0(value: list[int]) -> None:
    assert is_kept_list(value) == (
        value == sorted(set(value)) and all(index >= 0 for index in value)
    )


@pytest.mark.parametrize("value", [(0, 1), [0, True], [0.0], "01", None, range(2)])
def test_other_things_are_no_kept_lists(value: object) -> None:
    assert not is_kept_list(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in (1, True, "", 0.5)),
        *((value, False) for value in (None, [], math.inf, math.nan, np.int64(1))),
    ],
)
def test_scalars(value: object, expected: bool) -> None:
    assert is_scalar(value) == expected


def test_a_list_becomes_another_list() -> None:
    value = [0, 1]
    assert plain_value(value) == value
    assert plain_value(value) is not value
    mixed = plain_value([np.int64(0), 1])
    assert [type(index) for index in mixed] == [int, int]


def test_deep_trees_are_refused() -> None:
    tree: object = 1
    for _ in range(8):
        tree = {"a": tree}
    assert plain_tree("slots", tree) == tree
    with pytest.raises(ValueError, match="nested deeper than 8 levels"):
        plain_tree("slots", {"a": tree})


def test_long_values_are_shown_in_part() -> None:
    assert shown([1, 2]) == "[1, 2]"
    assert shown("a" * 200) == "'" + "a" * 59 + "... (200 in all)"
    assert len(shown(list(range(10**5)))) < 100
