"""Locks end with the process that holds them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mmrazor.core.locks import FileLock


def child_takes(path: Path) -> bool:
    child = os.fork()
    if child == 0:
        os._exit(int(FileLock.taken(path) is not None))
    return bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def test_held_by_one_process_until_it_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FileLock.taken(path, "me")
    assert lock is not None
    assert not child_takes(path)
    assert path.read_text() == "me"
    lock.release()
    assert not path.exists()
    assert child_takes(path)


def test_a_killed_holder_is_no_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    child = os.fork()
    if child == 0:
        assert FileLock.taken(path, "the child, whose note is longer")
        if os.fork() == 0:  # a worker that outlives it
            time.sleep(3)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    lock = FileLock.taken(path, "me")
    assert lock is not None
    assert path.read_text() == "me"
    lock.release()


def test_a_forked_worker_does_not_let_go_for_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FileLock.taken(path)
    assert lock is not None
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert path.exists()
    assert not child_takes(path)
    lock.release(remove=False)
    assert path.exists()
    assert child_takes(path)
