"""Fetching: archives, commands that fail, the official server that is away."""

from __future__ import annotations

import http.server
import threading
import zipfile

import pytest

from mmrazor.apis.prepare_data import ways
from mmrazor.apis.prepare_data.archives import read_members
from mmrazor.apis.prepare_data.download import Artifact, Fetcher
from mmrazor.apis.prepare_data.errors import SourceError

from .conftest import deb_bytes, sha256, tar_bytes


@pytest.mark.parametrize("kind", ["tgz", "whl", "deb"])
def test_members_are_read_in_place(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "whl":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/b", b"content")
    else:
        made = tar_bytes if kind == "tgz" else deb_bytes
        path.write_bytes(made({"a/b": b"content", "other": b"x" * 999}))
    assert read_members(path, ["a/b"]) == {"a/b": b"content"}
    with pytest.raises(SourceError, match=r"does not contain \['a/c'\]"):
        read_members(path, ["a/c"])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SourceError, match=rf"a\.{kind}"):
        read_members(path, ["a/b"])


def test_damaged_kept_file_is_obtained_again(tmp_path, server):
    artifact = Artifact("a.bin", f"sha256:{sha256(b'right')}", "npm", "a")
    (tmp_path / "a.bin").write_bytes(b"wrong")
    server.serve("a", "a.bin", b"right")
    assert Fetcher(tmp_path, server.ways).obtain(artifact).read_bytes() == b"right"


def test_way_that_leaves_nothing(tmp_path):
    artifact = Artifact("a.bin", f"sha256:{sha256(b'')}", "npm", "a")
    fetcher = Fetcher(tmp_path, {"npm": lambda locator, folder: None})
    with pytest.raises(SourceError, match="a gave 0 files, not 1"):
        fetcher.obtain(artifact)


def test_command_that_is_not_installed(tmp_path):
    with pytest.raises(SourceError, match="'no-such-tool' is not installed"):
        ways.run_command(["no-such-tool", "pack"], tmp_path)


def test_command_that_fails_says_its_last_lines(tmp_path):
    with pytest.raises(SourceError, match=r"exit code 3: two / three"):
        ways.run_command(["sh", "-c", "echo two >&2; echo three >&2; exit 3"], tmp_path)


def test_apt_refreshes_its_lists(tmp_path, monkeypatch):
    asked = []

    def run(command, folder):
        asked.append(" ".join(command))
        if len(asked) == 1:
            raise SourceError("unable to locate package")

    monkeypatch.setattr(ways, "run_command", run)
    ways.apt_download("some-package", tmp_path)
    assert [line.split()[-1] for line in asked] == [
        "some-package",
        "update",
        "some-package",
    ]


def test_apt_that_cannot_refresh_says_both(tmp_path, monkeypatch):
    def run(command, folder):
        raise SourceError(f"{command[-1]} failed")

    monkeypatch.setattr(ways, "run_command", run)
    text = r"some-package failed; then, .* \(apt-get update needs root\): update failed"
    with pytest.raises(SourceError, match=text):
        ways.apt_download("some-package", tmp_path)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"content" if self.path == "/whole" else b"con")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_url_is_downloaded(tmp_path, address):
    ways.download_url(f"{address}/whole", tmp_path)
    assert (tmp_path / "whole").read_bytes() == b"content"


@pytest.mark.parametrize(
    ("path", "text"), [("missing", "404|Not Found"), ("short", "ended after 3 of 7")]
)
def test_url_that_fails(tmp_path, address, path, text):
    with pytest.raises(SourceError, match=text):
        ways.download_url(f"{address}/{path}", tmp_path)


def test_server_that_is_away(tmp_path):
    with pytest.raises(SourceError, match=r"cannot download http://127.0.0.1:9/a:"):
        ways.download_url("http://127.0.0.1:9/a", tmp_path)
