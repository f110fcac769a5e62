"""Read members of archives in place: tarballs, wheels and Debian packages.

Nothing is unpacked to disk, so no path inside an archive is ever trusted, and no more
is unpacked than such files have. A Debian
package is an ``ar`` archive with a ``data.tar.*`` member (deb(5)); it is read here
without ``dpkg``, so that it works on any system.
"""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from .errors import SourceError

BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
)
AR_MAGIC = b"!<arch>\n"
# The largest member that is read, and all that is passed over on the way to it. The
# largest of the data sets has 50 MB in a file and 400 MB in an archive.
MOST_BYTES = 256 * 2**20
MOST_BYTES_PASSED = 4 * 2**30


def read_members(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read files out of an archive.

    Args:
        path: A ``.tgz``, ``.tar.gz``, ``.whl``, ``.zip`` or ``.deb`` file.
        names: Paths inside the archive, without a leading ``./``.

    Returns:
        Content of each file by its name.

    Raises:
        SourceError: If the archive is broken or lacks one of the files, or one is
            larger than any that is wanted.
    """
    try:
        if path.suffix in (".whl", ".zip"):
            found = _zip_members(path, names)
        elif path.suffix == ".deb":
            found = _tar_members(io.BytesIO(_deb_data(path)), names)
        else:
            with path.open("rb") as stream:
                found = _tar_members(stream, names)
    except BROKEN as err:
        raise SourceError(f"{path.name} cannot be read as an archive: {err}") from err
    missing = [name for name in names if name not in found]
    if missing:
        raise SourceError(f"{path.name} does not contain {missing}")
    return found


def _zip_members(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        inside = set(archive.namelist())
        found = {}
        for name in names:
            if name in inside:
                with archive.open(name) as member:
                    found[name] = bounded(member, name)
        return found


def _tar_members(stream: io.BufferedIOBase, names: Sequence[str]) -> dict[str, bytes]:
    wanted, found = set(names), {}
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name in wanted and member.isreg():
                content = archive.extractfile(member)
                if content is not None:
                    found[name] = bounded(content, name)
            if len(found) == len(wanted):
                break
            if member.offset_data + member.size > MOST_BYTES_PASSED:
                raise SourceError(f"'{member.name[:80]}' in it is {member.size} bytes")
    return found


def bounded(stream: IO[bytes] | gzip.GzipFile, name: str) -> bytes:
    """Return what a member of an archive holds.

    Args:
        stream: The member, unpacked while it is read.
        name: For the error.

    Raises:
        SourceError: If it is larger than :data:`MOST_BYTES`; no more is unpacked.
    """
    content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise SourceError(
            f"'{name}' is larger than {MOST_BYTES} bytes, which no file of the data "
            "sets is"
        )
    return content


def _deb_data(path: Path) -> bytes:
    with path.open("rb") as stream:
        if stream.read(len(AR_MAGIC)) != AR_MAGIC:
            raise SourceError(f"{path.name} is not a Debian package")
        while header := stream.read(60):
            name, digits = header[:16].strip(), header[48:58].strip()
            if header[58:] != b"`\n" or not digits.isdigit():
                raise SourceError(f"{path.name} is damaged: its headers cannot be read")
            size = int(digits)
            if name.startswith(b"data.tar"):
                return stream.read(size)
            stream.seek(size + size % 2, io.SEEK_CUR)
    raise SourceError(f"{path.name} has no data.tar member")
