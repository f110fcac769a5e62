"""Configs as text read as they were, keys in their order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config, ConfigDict

from mmrazor.apis.config_text import config_text

names = st.sampled_from(["b", "a", "type", "class", "x.y", "layer?.*", "", "é", 3])
leaves = st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text()
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(names, inner, max_size=4)
    ),
)


@given(st.dictionaries(st.sampled_from(["zeta", "alpha", "model"]), values))
def test_reads_as_it_was(content: dict[str, Any]) -> None:
    found: dict[str, Any] = {}
    exec(config_text(content), {}, found)
    assert found == content
    assert repr(found) == repr(content)  # in its order too


@pytest.mark.parametrize("long", [1, 30])
def test_lines_are_broken_where_they_are_long(long: int) -> None:
    content = {"model": {"type": "A", "places": {"x.*": list(range(long))}}}
    text = config_text(content)
    assert max(map(len, text.splitlines())) < 80
    assert len(text.splitlines()) == (1 if long == 1 else 37)
    cfg = Config.fromstring(text, ".py")
    assert ConfigDict(cfg._cfg_dict).to_dict() == content
