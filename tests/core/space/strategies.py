"""Spaces, values and seeds for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from mmrazor.core.space import KeepChannels, OneOf, SearchSpace

NAMES = st.text(min_size=1, max_size=12)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.booleans() | NUMBERS | st.text(max_size=12)
SEEDS = st.integers(0, 2**32)


@st.composite
def one_ofs(draw: st.DrawFn, name: str = "op") -> OneOf:
    values = draw(st.lists(SCALARS, min_size=1, max_size=5, unique=True))
    return OneOf(name, values)


@st.composite
def keep_channels(
    draw: st.DrawFn, name: str = "out", max_size: int = 24
) -> KeepChannels:
    size = draw(st.integers(1, max_size))
    min_keep, divisor = draw(st.integers(1, max_size)), draw(st.integers(1, 8))
    return KeepChannels(name, size, min_keep=min_keep, divisor=divisor)


def choices(name: str = "choice") -> st.SearchStrategy[OneOf | KeepChannels]:
    return one_ofs(name) | keep_channels(name)


@st.composite
def spaces(draw: st.DrawFn, max_size: int = 6) -> SearchSpace:
    names = draw(st.lists(NAMES, max_size=max_size, unique=True))
    return SearchSpace([draw(choices(name)) for name in names])
