"""Photographed textures that come inside scikit-image, read without installing it.

Grass, gravel and brick, 512x512 grey pixels each, from the CC0 collection that
``skimage.data`` describes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .archives import read_members
from .download import Artifact, Source
from .errors import SourceError

DIGESTS = {
    "skimage/data/grass.png": (
        "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89"
    ),
    "skimage/data/gravel.png": (
        "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12"
    ),
    "skimage/data/brick.png": (
        "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf"
    ),
}

# One wheel for every machine, as nothing but its pictures is used.
WHEEL = (
    "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl"
)
PIP_ARGUMENTS = (
    "scikit-image==0.26.0 --platform=manylinux_2_28_x86_64 --implementation=cp "
    "--python-version=3.11 --abi=cp311"
)


def _decoded(contents: dict[str, bytes]) -> list[NDArray[np.uint8]]:
    for name, expected in DIGESTS.items():
        actual = hashlib.sha256(contents[name]).hexdigest()
        if actual != expected:
            raise SourceError(f"sha256 of '{name}' is {actual}, expected {expected}")
    return [
        np.asarray(Image.open(io.BytesIO(contents[name])).convert("L"))
        for name in DIGESTS
    ]


def _read_installed(paths: list[Path]) -> list[NDArray[np.uint8]]:
    spec = importlib.util.find_spec("skimage")  # finds it without importing it
    if spec is None or spec.origin is None:
        raise SourceError("scikit-image is not installed")
    root = Path(spec.origin).parents[1]
    missing = [name for name in DIGESTS if not (root / name).is_file()]
    if missing:
        raise SourceError(f"the installed scikit-image does not contain {missing}")
    return _decoded({name: (root / name).read_bytes() for name in DIGESTS})


def _read_wheel(paths: list[Path]) -> list[NDArray[np.uint8]]:
    return _decoded(read_members(paths[0], list(DIGESTS)))


SOURCES = (
    Source("installed package scikit-image", (), _read_installed),
    Source(
        "wheel of scikit-image",
        (
            Artifact(
                WHEEL,
                "sha256:"
                "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
                "pip",
                PIP_ARGUMENTS,
            ),
        ),
        _read_wheel,
    ),
)
