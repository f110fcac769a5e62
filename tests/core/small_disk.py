"""Small disks, and writes that fail."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mmrazor.core import files

#: Calls by which files get their places; each is a point at which a disk may be full.
POINTS = ("open", "mkdir", "link", "replace", "fsync")


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount memory as a disk of its own, or skip the test."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("this user may not mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class Calls:
    """Counts what writers ask of the system, and does something at one of the calls."""

    def __init__(self, at: int, then: Callable[[], Any]) -> None:
        self.at, self.then, self.count = at, then, 0

    def watch(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        """Put this in place of the functions that ``files`` calls, or of some."""
        for name in names or POINTS:
            monkeypatch.setattr(files.os, name, self._around(getattr(os, name)))

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                self.then()
            return call(*args, **kwargs)

        return counted


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def contents(folder: Path) -> dict[str, str]:
    """Return all files below a folder, hidden ones too, with their texts."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }
