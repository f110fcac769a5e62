"""Files and sets of files on disks that are full, and by processes that are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmrazor.core.files import (
    FileWriteError,
    file_set,
    remove_leftovers,
    write_atomically,
    write_json,
    write_tensors,
)
from tests.core.small_disk import Calls, contents, full, mounted

BEFORE = {"net.pth": "old", "net.py": "old", "net.onnx": "old", "other.pth": "other"}
AFTER = {"net.pth": "new", "net.py": "new", "net_subnet.yaml": "new"}
NAMES = ("net.pth", "net.py", "net.onnx", "net_subnet.yaml")
KILLS = ("mkdir", "link", "replace")
WHOLE = {**AFTER, "other.pth": "other"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an earlier set and with a file of another one."""
    place = tmp_path / "out"
    place.mkdir()
    as_before(place)
    return place


def as_before(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    for name, text in BEFORE.items():
        (folder / name).write_text(text)


def fault_of(job: Callable[[], None]) -> str:
    """Return what a job says that it cannot write, or an empty text."""
    try:
        job()
    except FileWriteError as err:
        return str(err)
    return ""


def write_set(folder: Path) -> None:
    with file_set(folder, NAMES) as place:
        write_atomically(place / "net.pth", lambda path: path.write_text("new"))
        for name in AFTER.keys() - {"net.pth"}:
            (place / name).write_text(AFTER[name])


def test_a_set_replaces_an_earlier_one_as_a_whole(folder: Path) -> None:
    write_set(folder)
    assert contents(folder) == WHOLE  # net.onnx was of the earlier one
    assert (folder / "net.py").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_an_error_between_the_files_leaves_what_was_there(folder: Path) -> None:
    def stopped() -> None:
        with file_set(folder, NAMES) as place:
            (place / "net.py").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert contents(folder) == BEFORE


def number_of_calls(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> int:
    calls = Calls(-1, full)
    with monkeypatch.context() as patch:
        calls.watch(patch, *names)
        write_set(folder)
    as_before(folder)
    return calls.count


def test_a_disk_that_fills_at_any_point(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = 0
    for at in range(1, number_of_calls(folder, monkeypatch) + 1):
        with monkeypatch.context() as patch:
            Calls(at, full).watch(patch)
            text = fault_of(lambda: write_set(folder))
        if text:
            failed += 1
            assert ".mmrazor" not in text
            assert str(folder) in text
            assert "no space left on device. Free some space" in text
            assert contents(folder) == BEFORE, at
        else:  # what failed was the removal of what is not needed any more
            remove_leftovers(folder)
            assert contents(folder) == WHOLE, at
            as_before(folder)
    assert failed > 20


def test_a_disk_without_hard_links(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*args: object, **kwargs: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    points = number_of_calls(folder, monkeypatch, *KILLS)
    write_set(folder)
    assert contents(folder) == WHOLE
    for at in range(1, points + 1):
        kill_at(at, folder, lambda: write_set(folder), monkeypatch)
        remove_leftovers(folder)
        assert contents(folder) == WHOLE


def kill_at(
    at: int, folder: Path, job: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> bool:
    """Do a job in a child that is killed at a call; return whether it was."""
    child = os.fork()
    if child == 0:
        calls = Calls(at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        calls.watch(monkeypatch, *KILLS)
        job()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_killed_at_any_point(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for at in range(1, number_of_calls(folder, monkeypatch, *KILLS) + 1):
        killed = kill_at(at, folder, lambda: write_set(folder), monkeypatch)
        assert killed
        remove_leftovers(folder)
        state = contents(folder)
        assert state in (BEFORE, WHOLE), at
        found.append(state == WHOLE)
        as_before(folder)
    assert found == sorted(found)  # old, old, ..., new, new
    assert set(found) == {False, True}


def test_the_next_set_completes_what_a_killed_one_began(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = number_of_calls(folder, monkeypatch, *KILLS)
    for at in range(1, points + 1, 5):
        assert kill_at(at, folder, lambda: write_set(folder), monkeypatch)
        with file_set(folder) as place:
            (place / "third.txt").write_text("third")
        state = contents(folder)
        assert state.pop("third.txt") == "third"
        assert state in (BEFORE, WHOLE)


def test_what_a_living_process_writes_stays(folder: Path) -> None:
    with file_set(folder) as place:
        (place / "a.txt").write_text("a")
        child = os.fork()
        if child == 0:
            remove_leftovers(folder)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert (place / "a.txt").read_text() == "a"
    assert (folder / "a.txt").read_text() == "a"


def test_leftovers_that_lead_outside_are_not_followed(
    folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "dear.txt").write_text("dear")
    (folder / ".mmrazor-1.lock").touch()
    (folder / ".mmrazor-1").symlink_to(outside)
    (folder / ".mmrazor-2.lock").touch()
    (folder / ".mmrazor-2").mkdir()
    (folder / ".mmrazor-2" / "new").symlink_to(outside)
    (folder / ".mmrazor-2" / "old").symlink_to(outside)
    (folder / ".mmrazor-2" / "begun.json").write_text("[]")
    (folder / ".mmrazor-3.lock").touch()
    (folder / ".mmrazor-3" / "new").mkdir(parents=True)
    (folder / ".mmrazor-3" / "begun.json").write_text('["../outside/dear.txt"]')
    (folder / ".mmrazor-4.lock").symlink_to(outside / "dear.txt")
    (folder / ".mmrazor-4").mkdir()
    (folder / ".mmrazor-5").mkdir()  # without a lock: not made here
    remove_leftovers(folder)
    assert contents(outside) == {"dear.txt": "dear"}
    assert (folder / ".mmrazor-5").is_dir()
    assert not (folder / ".mmrazor-2").exists()
    assert not (folder / ".mmrazor-3").exists()


def test_links_as_folder_and_as_file(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    (real / "net.py").symlink_to(tmp_path / "elsewhere.py")
    (tmp_path / "elsewhere.py").write_text("mine")
    write_set(link)
    assert contents(real) == AFTER
    assert link.is_symlink()
    assert (tmp_path / "elsewhere.py").read_text() == "mine"
    (real / "a.json").symlink_to(tmp_path / "data.json")
    (tmp_path / "data.json").write_text("mine")
    assert write_json(link / "a.json", [1]) == link / "a.json"
    assert (real / "a.json").read_text().split() == ["[", "1", "]"]
    assert (tmp_path / "data.json").read_text() == "mine"
    assert not (real / "a.json").is_symlink()


@pytest.mark.parametrize("kind", ["folder of the name", "file as folder"])
def test_what_is_in_the_way_is_said(tmp_path: Path, kind: str) -> None:
    if kind == "folder of the name":
        path = tmp_path / "out.json"
        path.mkdir()
        text = "is a directory. Give the path of a file"
    else:
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "out.json"
        text = "is a file: give another"
    for job in (
        lambda: write_json(path, 1),
        lambda: write_tensors(path, {}),
        lambda: write_atomically(path, Path.touch),
    ):
        with pytest.raises(FileWriteError, match=f"^'{path}' cannot be .* {text}"):
            job()
    named = path if kind == "folder of the name" else path.parent
    with (
        pytest.raises(FileWriteError, match=f"^'{named}' cannot be written"),
        file_set(path.parent) as place,
    ):
        (place / path.name).write_text("x")
    if kind == "folder of the name":
        assert list(tmp_path.iterdir()) == [path]


def test_errors_of_other_files_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing.txt") as caught:
        write_atomically(
            tmp_path / "a.txt", lambda p: (tmp_path / "b/missing.txt").read_text()
        )
    assert not isinstance(caught.value, FileWriteError)


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    big = {"weight": torch.zeros(300_000)}  # 1.2 MB
    with mounted(tmp_path / "disk", "size=1m") as disk:
        write_json(disk / "net.json", {"old": True})
        write_tensors(disk / "net.pth", {"old": torch.zeros(1)})
        before = {path: path.read_bytes() for path in disk.iterdir()}
        with pytest.raises(FileWriteError, match=r"disk/net.pth' .* no space left"):
            write_tensors(disk / "net.pth", big)

        def write_both() -> None:
            with file_set(disk) as place:
                write_json(place / "net.json", {"old": False})
                write_tensors(place / "net.pth", big)

        with pytest.raises(FileWriteError, match=r"disk/net.pth' .* no space left"):
            write_both()
        assert {path: path.read_bytes() for path in disk.iterdir()} == before


def test_a_disk_that_is_read_only(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "ro,size=1m") as disk:
        for path in (disk / "net.json", disk / "sub" / "net.json"):
            with pytest.raises(FileWriteError, match=f"^'{path}' .* read-only"):
                write_json(path, {})
        with (
            pytest.raises(FileWriteError, match=f"^'{disk}' .* read-only"),
            file_set(disk),
        ):
            pass
