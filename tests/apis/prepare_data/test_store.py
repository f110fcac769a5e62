"""Data folders that were prepared to do harm: nothing outside of them changes."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmrazor.apis.prepare_data import archives
from mmrazor.apis.prepare_data.archives import read_members
from mmrazor.apis.prepare_data.errors import PrepareError, SourceError
from mmrazor.apis.prepare_data.idx import adopt_idx_files, idx_array, verified_idx_files
from mmrazor.apis.prepare_data.store import (
    FORMAT,
    completeness_fault,
    content_digest,
    is_inside,
    only_run,
    publish,
    read_manifest,
    replace_file,
    staging_folder,
    write_manifest,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root, beside a folder that belongs to somebody else."""
    (tmp_path / "outside" / "photos").mkdir(parents=True)
    (tmp_path / "outside" / "photos" / "one.jpg").write_text("mine")
    (tmp_path / "outside" / "letter.txt").write_text("mine too")
    (tmp_path / "data" / "toy").mkdir(parents=True)
    return tmp_path / "data"


def outside(root: Path) -> dict[str, str]:
    folder = root.parent / "outside"
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def manifest_of(root: Path, *names: str, **changes: object) -> None:
    entries = {name: {"files": 1, "bytes": 1, "sha256": "0"} for name in names}
    manifest = {
        "format": FORMAT,
        "complete": True,
        "source": "",
        "options": {},
        "entries": entries,
        **changes,
    }
    (root / "toy" / "prepared.json").write_text(json.dumps(manifest))


def make_again(root: Path) -> None:
    """Prepare a toy data set of one file, as ``prepare`` does."""
    with only_run(root), staging_folder(root / "toy") as staging:
        (staging / "train.txt").write_text("new")
        publish(staging, root / "toy", {}, "a test")


@pytest.mark.parametrize(
    "name",
    [
        "../../outside/photos",
        "../../outside/letter.txt",
        "..",
        ".",
        "",
        "a/../../../outside",
        "..\\..\\outside",
        "train.txt\0",
        "{absolute}",
    ],
)
def test_names_that_lead_elsewhere_are_not_followed(root: Path, name: str) -> None:
    name = name.format(absolute=root.parent / "outside")
    before = outside(root)
    manifest_of(root, name, "train.txt")
    assert not is_inside(name)
    assert read_manifest(root / "toy") is None
    assert "no valid prepared.json" in completeness_fault(root / "toy", {})
    make_again(root)
    assert outside(root) == before
    assert (root / "toy" / "train.txt").read_text() == "new"
    assert not completeness_fault(root / "toy", {})


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100000,
        b'{"format": "mmrazor.data/1", "entries": ["train.txt"]}',
        b"\xff\xfe\x00",
        b"9" * 5000,
        b'{"format": {}, "entries": {}}',
    ],
    ids=["deep", "list", "no text", "number", "format"],
)
def test_what_is_no_manifest_is_none(root: Path, content: bytes) -> None:
    (root / "toy" / "prepared.json").write_bytes(content)
    assert read_manifest(root / "toy") is None


def test_only_what_was_written_here_is_removed(root: Path) -> None:
    manifest_of(root, "thesis.txt", "old.txt", "train.txt")
    for name in ("thesis.txt", "old.txt", "train.txt"):
        (root / "toy" / name).write_text(name)
    manifest = json.loads((root / "toy" / "prepared.json").read_text())
    manifest["entries"]["old.txt"] = content_digest(root / "toy" / "old.txt")
    (root / "toy" / "prepared.json").write_text(json.dumps(manifest))
    make_again(root)
    left = {path.name for path in (root / "toy").iterdir()}
    assert left == {"thesis.txt", "train.txt", "prepared.json"}


def test_the_place_itself_may_be_no_link(root: Path) -> None:
    before = outside(root)
    (root / "toy").rmdir()
    (root / "toy").symlink_to(root.parent / "outside", target_is_directory=True)
    manifest = {"format": FORMAT, "entries": {"photos": {}}, "complete": True}
    with pytest.raises(PrepareError, match="is a link to .*outside.*--data-root"):
        make_again(root)
    assert outside(root) == before
    (root.parent / "outside" / "prepared.json").write_text(json.dumps(manifest))
    before = outside(root)
    with pytest.raises(PrepareError, match="is a link"):
        make_again(root)
    assert outside(root) == before
    assert not list(root.glob(".partial-*"))


@pytest.mark.parametrize(
    "name",
    [
        *("toy/train.txt", ".partial-toy", ".partial-other", "downloads"),
        *("toy/prepared.json", "toy/.prepared.json.partial"),
    ],
)
def test_links_in_our_places_are_replaced_not_followed(root: Path, name: str) -> None:
    target = root.parent / "outside"
    (target / ".part-1").mkdir()
    (target / ".part-1" / "kept").write_text("kept")
    before = outside(root)
    if not name.startswith((".partial", "downloads")):
        target = target / "letter.txt"
    manifest_of(root, "train.txt")
    (root / name).unlink(missing_ok=True)
    (root / name).symlink_to(target)
    make_again(root)
    assert outside(root) == before
    assert (root / "toy" / "train.txt").read_text() == "new"
    assert not completeness_fault(root / "toy", {})


def test_an_entry_that_became_a_link_is_a_fault(root: Path) -> None:
    make_again(root)
    (root / "toy" / "train.txt").unlink()
    (root / "toy" / "train.txt").symlink_to(root.parent / "outside" / "letter.txt")
    assert "is a link" in completeness_fault(root / "toy", {})
    before = outside(root)
    make_again(root)
    assert outside(root) == before


def test_the_lock_is_not_opened_through_a_link(root: Path) -> None:
    before = outside(root)
    (root / ".prepare.lock").symlink_to(root.parent / "outside" / "letter.txt")
    with pytest.raises(PrepareError, match="cannot be written"):
        make_again(root)
    assert outside(root) == before


def test_files_found_behind_a_link_are_not_taken_over(root: Path) -> None:
    before = outside(root)
    (root / "link").symlink_to(root.parent / "outside")
    assert not adopt_idx_files(root / "link", {})
    assert outside(root) == before


def test_files_are_replaced_whole(root: Path) -> None:
    replace_file(root / "a", b"1")
    replace_file(root / "a", b"2")
    assert (root / "a").read_bytes() == b"2"
    write_manifest(root / "toy", {}, {}, "")
    assert read_manifest(root / "toy") is not None


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", b"\0" * 4096)
        archive.writestr("../outside/letter.txt", "theirs")
        archive.writestr("small", "fine")


def _tar(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (
            *(("../outside/letter.txt", b"theirs"), ("small", b"fine")),
            ("big", b"\0" * 4096),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "../outside/letter.txt"
        archive.addfile(link)


@pytest.mark.parametrize(("name", "make"), [("a.whl", _zip), ("a.tgz", _tar)])
def test_members_are_read_up_to_a_limit(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[Path], None],
) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 1000)
    before = outside(root)
    make(root / name)
    assert read_members(root / name, ["small"]) == {"small": b"fine"}
    with pytest.raises(SourceError, match="'big' is larger than 1000 bytes"):
        read_members(root / name, ["big"])
    assert outside(root) == before


def test_links_in_archives_are_no_files(root: Path) -> None:
    _tar(root / "a.tgz")
    with pytest.raises(SourceError, match=r"does not contain \['link'\]"):
        read_members(root / "a.tgz", ["link"])


def test_no_endless_member_is_passed_over(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES_PASSED", 1000)
    with tarfile.open(root / "a.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("padding")
        info.size = 100_000
        archive.addfile(info, io.BytesIO(b"\0" * info.size))
    with pytest.raises(SourceError, match="'padding' in it is 100000 bytes"):
        read_members(root / "a.tgz", ["wanted"])


def test_packed_idx_files_are_unpacked_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 1000)
    bomb = gzip.compress(b"\0" * 100_000)
    with pytest.raises(SourceError, match="larger than 1000 bytes"):
        verified_idx_files({"images.gz": bomb}, {"images": "0"})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"\0\0\x08\xff",
        b"\0\0\x08\x02\0\0\0\x01",
        b"\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\x0d\x01\0\0\0\x01a",
    ],
)
def test_idx_headers_that_promise_too_much(content: bytes) -> None:
    with pytest.raises(ValueError, match="IDX file"):
        idx_array(content)


def test_idx_of_no_values() -> None:
    assert idx_array(b"\0\0\x08\x01\0\0\0\0").shape == np.empty(0).shape
