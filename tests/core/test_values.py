"""Values of settings that are refused, and those that are not."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from mmrazor.core.values import (
    check_image_size,
    check_number,
    check_spec,
    check_switch,
)


@pytest.mark.parametrize("value", [1, 0.5, 3.0])
def test_numbers(value):
    check_number("x", value, above=0, most=3)


@pytest.mark.parametrize(
    "value", [0, -1, 4, math.nan, math.inf, -math.inf, "1", None, True, [1]]
)
def test_no_numbers(value):
    with pytest.raises(
        ValueError, match=rf"^x is {re.escape(repr(value))}; give a fin"
    ):
        check_number("x", value, above=0, most=3)


@pytest.mark.parametrize("value", [2.5, 2.0, -1, math.nan, "2", False])
def test_no_whole_numbers(value):
    with pytest.raises(ValueError, match="a whole number of at least 0"):
        check_number("x", value, least=0, whole=True)


@pytest.mark.parametrize("value", [[8, 9], (8, 9), np.array([8, 9]), (np.int64(8), 9)])
def test_image_sizes(value):
    check_image_size(value)


@pytest.mark.parametrize(
    "value",
    [[8], 8, "big", "88", [0, 8], [-8, 8], [8.5, 8], [8, 8, 8], None, [None, 8]],
)
def test_no_image_sizes(value):
    with pytest.raises(ValueError, match="must be positive"):
        check_image_size(value)


def test_switches_and_dicts():
    check_switch("x", False)
    check_spec("x", {})
    with pytest.raises(ValueError, match="True or False"):
        check_switch("x", 1)
    with pytest.raises(TypeError, match="give a dict"):
        check_spec("x", "L1")
