"""What every test starts from, and what many use.

Scripts that a test starts cannot import ``tests``: what they share is a fixture.
"""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from mmengine.registry import DefaultScope

ROOT = Path(__file__).resolve().parents[1]

# The same examples on every run, and no failure because a machine is busy.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files, so that no worker is waited for at the end."""
    tools = ROOT / "tests" / "tools"
    items.sort(key=lambda item: not item.path.is_relative_to(tools))


def pytest_collection_finish() -> None:
    """Take what is imported out of the garbage collections of each dataset built."""
    gc.collect()
    gc.freeze()


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


@pytest.fixture(autouse=True, scope="module")
def determinism_of_a_file() -> Iterator[None]:
    """Take back the deterministic mode that a Runner in a file's tests leaves."""
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture
def saved_by_two(tmp_path: Path) -> Callable[..., list[Any]]:
    """Run a script as two processes; return what each of them saved, by rank.

    The script is called with rank, port, the arguments and the file to save to.
    """

    def saved(script: str | Path, *arguments: str, timeout: float = 120) -> list[Any]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        files = [tmp_path / f"{rank}.pt" for rank in range(2)]
        processes = [
            subprocess.Popen(
                [sys.executable, str(script), str(rank), port, *arguments, str(file)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for rank, file in enumerate(files)
        ]
        assert [process.wait(timeout=timeout) for process in processes] == [0, 0]
        return [torch.load(file) for file in files]

    return saved
