"""What every test starts from: no default scope of a run before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def default_scope_of_its_own() -> Iterator[None]:
    """Take back the default scope that a Runner in a test leaves to the process."""
    scopes = DefaultScope._instance_dict
    before = dict(scopes)
    yield
    scopes.clear()
    scopes.update(before)
