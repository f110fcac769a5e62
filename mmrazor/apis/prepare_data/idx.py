"""The IDX format of MNIST and its siblings (LeCun, Cortes, Burges, 1998).

A big-endian header (two zero bytes, a type code, the number of dimensions, each
dimension as 32-bit integer), then the values. mmpretrain's ``MNIST`` and
``FashionMNIST`` datasets read four such files, uncompressed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .archives import BROKEN, bounded
from .errors import SourceError
from .store import content_digest, replace_file, write_manifest

UINT8 = 8
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    """Return an array of bytes as the content of an IDX file.

    Example:
        >>> idx_bytes(np.array([3, 1], dtype=np.uint8)).hex()
        '00000801000000020301'
    """
    header = struct.pack(f">HBB{values.ndim}I", 0, UINT8, values.ndim, *values.shape)
    return header + np.ascontiguousarray(values).tobytes()


def idx_array(content: bytes) -> NDArray[np.uint8]:
    """Return the array that an IDX file of bytes holds.

    Raises:
        ValueError: If the content is not such a file.

    Example:
        >>> idx_array(idx_bytes(np.array([[3, 1]], dtype=np.uint8))).tolist()
        [[3, 1]]
    """
    if len(content) < 4 or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"an IDX file cannot have {len(content)} bytes")
    zeros, kind, num_dims = struct.unpack_from(">HBB", content)
    if zeros != 0 or kind != UINT8:
        raise ValueError(f"not an IDX file of bytes: it begins with {content[:4]!r}")
    shape = struct.unpack_from(f">{num_dims}I", content, 4)
    offset = 4 + 4 * num_dims
    if len(content) != offset + math.prod(shape):
        raise ValueError(
            f"an IDX file of shape {shape} cannot have {len(content)} bytes"
        )
    return np.frombuffer(content, np.uint8, offset=offset).reshape(shape)


def read_split(folder: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read images ``(N, 28, 28)`` and labels ``(N,)`` of ``train`` or ``test``."""
    prefix = {"train": "train", "test": "t10k"}[split]
    images = idx_array((folder / f"{prefix}-images-idx3-ubyte").read_bytes())
    labels = idx_array((folder / f"{prefix}-labels-idx1-ubyte").read_bytes())
    return images, labels


def verified_idx_files(
    contents: Mapping[str, bytes], digests: Mapping[str, str]
) -> dict[str, bytes]:
    """Unzip the four IDX files where needed and verify each.

    Args:
        contents: Content by file name; ``.gz`` files are unzipped.
        digests: sha256 of each uncompressed file.

    Raises:
        SourceError: If one is missing, broken or has another digest.
    """
    files = {}
    for name, expected in digests.items():
        try:
            if name in contents:
                files[name] = contents[name]
            else:
                with gzip.open(io.BytesIO(contents[name + ".gz"])) as packed:
                    files[name] = bounded(packed, name)
        except KeyError as err:
            raise SourceError(f"'{name}' is missing") from err
        except BROKEN as err:
            raise SourceError(f"'{name}.gz' is broken: {err}") from err
        actual = hashlib.sha256(files[name]).hexdigest()
        if actual != expected:
            raise SourceError(
                f"sha256 of '{name}' is {actual}, expected {expected}: the file is "
                "damaged or another version"
            )
    return files


def adopt_idx_files(folder: Path, digests: Mapping[str, str]) -> bool:
    """Declare a folder complete if it holds the four files already.

    They may lie there uncompressed, or as ``.gz`` that is unzipped beside.

    Args:
        folder: Where they may lie.
        digests: sha256 of each uncompressed file.

    Returns:
        Whether they are there and right; never behind a link, where nothing is written.
    """
    if folder.is_symlink():
        return False
    names = [name + suffix for name in digests for suffix in ("", ".gz")]
    contents = {
        name: (folder / name).read_bytes()
        for name in names
        if (folder / name).is_file()
    }
    try:
        files = verified_idx_files(contents, digests)
    except SourceError:
        return False
    for name, content in files.items():
        if name not in contents:
            replace_file(folder / name, content)
    entries = {name: content_digest(folder / name) for name in digests}
    write_manifest(folder, entries, {}, "found in the data root")
    return True
