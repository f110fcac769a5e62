from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.runner.checkpoint import _load_checkpoint

from mmrazor.core.downloads import download, load_url


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give every address a checkpoint that names it; return those asked for."""
    asked: list[str] = []

    def fetch(url: str, path: str, sha256_start: str | None = None, *_: object) -> None:
        if "nowhere" in url:
            raise OSError("no route")
        asked.append(url)
        torch.save({"url": url}, path)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    return asked


@pytest.mark.parametrize(
    "other",
    [
        "https://b.org/x/net.pth",  # another server
        "https://a.org/y/net.pth",  # another folder
        "https://a.org/x/net.pth?version=2",
        "http://a.org/x/net.pth",
    ],
)
@pytest.mark.parametrize("read", [load_url, _load_checkpoint])
def test_two_addresses_are_two_files(web: list[str], other: str, read) -> None:
    for url in ("https://a.org/x/net.pth", other) * 2:
        assert read(url) == {"url": url}
    assert web == ["https://a.org/x/net.pth", other]


def test_a_file_under_the_bare_name_is_not_trusted(web, tmp_path: Path) -> None:
    earlier = tmp_path / "checkpoints"
    earlier.mkdir()
    torch.save({"url": "another"}, earlier / "net.pth")
    torch.save({"url": "another"}, earlier / "net-01234567.pth")
    for url in ("https://a.org/net.pth", "https://a.org/net-01234567.pth"):
        assert load_url(url) == {"url": url}


def test_a_file_with_its_hash_in_its_name_is_taken(web, tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / "a.pth")
    start = hashlib.sha256((tmp_path / "a.pth").read_bytes()).hexdigest()[:8]
    earlier = tmp_path / "checkpoints" / f"net-{start}.pth"
    earlier.parent.mkdir()
    (tmp_path / "a.pth").rename(earlier)
    assert download(f"https://a.org/net-{start}.pth") == earlier
    assert web == []


def test_an_address_without_a_name_and_a_folder(web, tmp_path: Path) -> None:
    path = download("https://a.org/", tmp_path / "here")
    assert path.name == "weights.pth"
    assert path.is_relative_to(tmp_path / "here")


def test_an_archive_with_one_checkpoint(web, tmp_path: Path) -> None:
    path = download("https://a.org/net.zip")
    torch.save({"a": 1}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "a.pth", "a.pth")
    assert load_url("https://a.org/net.zip") == {"a": 1}


def test_what_cannot_be_reached_says_where_to_put_it(web) -> None:
    with pytest.raises(ConnectionError, match=r"nowhere.*no route.*put it at '.*net"):
        download("https://nowhere.org/net.pth")
