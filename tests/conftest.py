"""What every test starts from: no default scope of a run before it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from mmengine.registry import DefaultScope


@contextmanager
def _scopes_as_before() -> Iterator[None]:
    before = OrderedDict(DefaultScope._instance_dict)
    yield
    # Not by changing the dictionary: overwrite_default_scope puts another in its place.
    DefaultScope._instance_dict = before


@pytest.fixture(autouse=True, scope="module")
def default_scope_of_a_file() -> Iterator[None]:
    """Take back the default scope that a Runner in a file's fixtures leaves."""
    with _scopes_as_before():
        yield


@pytest.fixture(autouse=True)
def default_scope_of_a_test() -> Iterator[None]:
    """Take back the default scope that a Runner in a test leaves."""
    with _scopes_as_before():
        yield
