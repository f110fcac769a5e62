"""One run a folder at a time."""

from __future__ import annotations

import errno
import logging
import os
import signal
from pathlib import Path

import pytest

from mmrazor.apis.run_folder import (
    LOCK,
    FolderInUseError,
    file_stem,
    is_first_rank,
    run_folder,
)
from mmrazor.core.files import FileWriteError, file_set
from tests.core.small_disk import mounted


def in_a_child(folder: Path, then: str = "end") -> int:
    """Return 0 for a child that took a folder, 1 for one that was refused."""
    child = os.fork()
    if child == 0:
        try:
            with run_folder(folder):
                if then == "die":
                    os.kill(os.getpid(), signal.SIGKILL)
        except FolderInUseError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_the_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    with run_folder(folder):
        assert in_a_child(folder) == 1
        text = (
            rf"'{folder}' is in use by another run: process {os.getpid()} on \S+ .*"
            rf"another folder: --out '{folder}_2'\.$"
        )
        with pytest.raises(FolderInUseError, match=text), run_folder(folder, "--out"):
            pass
        assert in_a_child(tmp_path / "another") == 0
        (folder / "result").touch()
    assert in_a_child(folder) == 0
    assert [path.name for path in folder.iterdir()] == ["result"]


def test_a_link_is_the_folder_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with run_folder(tmp_path / "link"):
        assert in_a_child(tmp_path / "real") == 1
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "link" / LOCK).symlink_to(tmp_path / "mine")
    (tmp_path / "mine").write_text("mine")
    with (
        pytest.raises(FileWriteError, match="link' cannot be written"),
        run_folder(tmp_path / "link"),
    ):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_killed_run_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert in_a_child(folder, "die") == -signal.SIGKILL
    child = os.fork()
    if child == 0:
        with file_set(folder) as place:
            (place / "half").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(list(folder.iterdir())) == 3
    with run_folder(folder):
        assert [path.name for path in folder.iterdir()] == [LOCK]
    assert list(folder.iterdir()) == []


def test_nothing_is_left_of_a_run_that_wrote_nothing(tmp_path: Path) -> None:
    def refused() -> None:
        with run_folder(tmp_path / "work_dirs" / "net"):
            raise ValueError

    with pytest.raises(ValueError):
        refused()
    assert list(tmp_path.iterdir()) == []


def test_the_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with (
            pytest.raises(FileWriteError, match=f"'{folder}' cannot be written"),
            run_folder(folder),
        ):
            pass

    def full(folder: Path) -> None:
        with run_folder(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(FileWriteError, match="run' cannot be written: no space left"):
        full(tmp_path / "run")
    assert logging.raiseExceptions
    with run_folder(tmp_path / "logs"):
        assert not logging.raiseExceptions  # no traceback for each line of a log
    assert logging.raiseExceptions
    with mounted(tmp_path / "disk", "ro") as disk:
        for folder in (disk, disk / "run"):
            with (
                pytest.raises(FileWriteError, match=f"'{folder}' .* read-only"),
                run_folder(folder),
            ):
                pass


def test_the_first_rank_alone_takes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_first_rank("none")
    for launcher, name in [
        ("pytorch", "RANK"),
        ("slurm", "SLURM_PROCID"),
        ("mpi", "OMPI_COMM_WORLD_RANK"),
    ]:
        monkeypatch.setenv(name, "1")
        assert not is_first_rank(launcher)
        monkeypatch.setenv(name, "0")
        assert is_first_rank(launcher)
    with run_folder(tmp_path), run_folder(tmp_path, held=False) as folder:
        assert folder == tmp_path


@pytest.mark.parametrize("name", ["../x", "a/b", "/x", "..", "a/"])
def test_a_name_does_not_lead_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a file without a folder"):
        file_stem(name, "net")
