"""Finished data sets on disk: staged, published, verified.

A data set is written to a hidden folder beside its place and moved there when it is
whole; ``prepared.json``, written last, lists every entry with a digest of its
content. So a folder with a matching ``prepared.json`` is complete, and anything that
a killed run left behind is recognised and cleaned.

What ``prepared.json`` says is not trusted: its names are names in the folder, only what
this tool writes is removed, and nothing is written or removed through a link.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import PrepareError

logger = logging.getLogger(__name__)

MANIFEST = "prepared.json"
STAGING = ".partial-"
FORMAT = "mmrazor.data/1"
_MOST_BYTES = 16 * 2**20  # of a manifest, which names a few files


def content_digest(path: Path) -> dict[str, Any]:
    """Digest a file, or all files of a folder with their relative paths.

    Returns:
        ``files`` (their number), ``bytes`` and ``sha256``.
    """
    digest, num_bytes = hashlib.sha256(), 0
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else None
    for file in [path] if files is None else files:
        content = file.read_bytes()
        num_bytes += len(content)
        if files is not None:
            digest.update(
                f"{file.relative_to(path).as_posix()}:{len(content)}\n".encode()
            )
        digest.update(content)
    return {
        "files": 1 if files is None else len(files),
        "bytes": num_bytes,
        "sha256": digest.hexdigest(),
    }


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return what ``prepared.json`` says, or None where there is no valid one."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            manifest = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(manifest, dict) and manifest.get("format") == FORMAT
    if not known or not isinstance(manifest.get("entries"), dict):
        return None
    outside = [name for name in manifest["entries"] if not is_inside(name)]
    if outside:
        logger.warning(
            "'%s' is not used: it names %.80r, which is no name in its folder",
            folder / MANIFEST,
            outside[0],
        )
        return None
    return manifest


def is_inside(name: str) -> bool:
    """Tell whether a text is the plain name of a file or folder in another folder.

    Example:
        >>> is_inside('train'), is_inside('../train'), is_inside('/etc'), is_inside('.')
        (True, False, False, False)
    """
    return name not in ("", ".", "..", MANIFEST) and not set(name) & set("/\\\0")


def completeness_fault(folder: Path, options: Mapping[str, Any]) -> str:
    """Return why a folder is not the complete data set, or an empty text.

    Args:
        folder: Place of the data set.
        options: The options it must have been made with.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return f"'{folder}' has no valid {MANIFEST}"
    if not manifest.get("complete"):
        return f"a run was stopped while it wrote '{folder}'"
    if manifest.get("options") != dict(options):
        return f"it was made with {manifest.get('options')}, wanted {dict(options)}"
    for name, expected in manifest["entries"].items():
        path = folder / name
        if path.is_symlink():
            return f"'{path}' is a link, and was a file or folder"
        if not path.exists():
            return f"'{path}' is missing"
        if content_digest(path) != expected:
            return f"the content of '{path}' is not what was written"
    return ""


@contextmanager
def only_run(data_root: Path) -> Iterator[None]:
    """Hold the data root for this process; what a killed run staged is removed.

    The lock belongs to the process, so it ends with it, however that ends.
    """
    try:
        data_root.mkdir(parents=True, exist_ok=True)
        lock = _opened_lock(data_root / ".prepare.lock")
    except OSError as err:
        raise PrepareError(
            f"The data root '{data_root}' cannot be written: {err}. Choose another "
            "folder with --data-root."
        ) from err
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("waiting for another run that prepares data here")
            fcntl.flock(lock, fcntl.LOCK_EX)
        downloads = data_root / "downloads"
        leftovers = list(data_root.glob(STAGING + "*"))
        if not downloads.is_symlink():  # elsewhere, nothing is known to be ours
            leftovers += downloads.glob(".part-*")
        for leftover in leftovers:
            logger.info("removing '%s', left by a run that was killed", leftover)
            _remove(leftover)
        yield


def _opened_lock(path: Path) -> IO[bytes]:
    """Open a lock file, which is made if needed; a link is not followed."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "rb")


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside ``folder`` that is removed at the end."""
    staging = folder.parent / (STAGING + folder.name)
    _remove(staging)
    staging.mkdir(parents=True)
    try:
        yield staging
    finally:
        if not staging.is_symlink():
            shutil.rmtree(staging, ignore_errors=True)


def publish(
    staging: Path, folder: Path, options: Mapping[str, Any], source: str
) -> None:
    """Move a staged data set to its place and write its manifest.

    Entries that an earlier run wrote are replaced. Other files of the same name are
    not ours, so they are kept under a new name.

    Args:
        staging: Folder that holds the whole data set.
        folder: Its place.
        options: The options it was made with.
        source: Where the data came from.

    Raises:
        PrepareError: If its place is a link, behind which nothing is written.
    """
    if folder.is_symlink():
        raise PrepareError(
            f"'{folder}' is a link to '{os.readlink(folder)}', and nothing is written "
            "there or removed. Remove the link, or name that place with --data-root."
        )
    folder.mkdir(parents=True, exist_ok=True)
    entries = {path.name: content_digest(path) for path in sorted(staging.iterdir())}
    for name, written in (read_manifest(folder) or {}).get("entries", {}).items():
        path = folder / name
        # What this data set has is ours; anything else only if it is as it was written.
        if name in entries or (_is_ours(path) and content_digest(path) == written):
            _remove(path)
    for name in entries:
        _set_aside(folder / name)
    # From here on all entries are ours, and a run that is killed must know it.
    write_manifest(folder, entries, options, source, complete=False)
    for name in entries:
        os.replace(staging / name, folder / name)
    write_manifest(folder, entries, options, source)


def write_manifest(
    folder: Path,
    entries: Mapping[str, Any],
    options: Mapping[str, Any],
    source: str,
    complete: bool = True,
) -> None:
    """Write which entries of a folder are a data set, and whether it is complete."""
    manifest = {
        "format": FORMAT,
        "complete": complete,
        "source": source,
        "options": dict(options),
        "entries": dict(entries),
    }
    replace_file(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it into place.

    ``mmrazor.core.files`` does the same for runs; data is prepared without torch,
    which that package imports.
    """
    temporary = path.with_name(f".{path.name}.partial")
    temporary.unlink(missing_ok=True)
    with temporary.open("xb") as file:  # not through a link that lies there
        file.write(content)
    os.replace(temporary, path)


def _is_ours(path: Path) -> bool:
    return path.exists() and not path.is_symlink()


def _remove(path: Path) -> None:
    """Remove a file, a folder, or a link but not what is behind it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _set_aside(path: Path) -> None:
    if not os.path.lexists(path):
        return
    count = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.before-{count}")):
        count += 1
    logger.warning("'%s' was not written by this tool; kept as '%s'", path, aside)
    os.replace(path, aside)
