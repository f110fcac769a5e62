# torch.hub keeps a download under the last part of its address: the weights of another
# server, or of another folder of it, are then taken for those that were asked for.
"""Files of the web, kept on disk by their whole address."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

import torch

from .checkpoint_reader import load


def download(url: str, folder: str | Path | None = None) -> Path:
    """Return the local copy of a file of the web, downloading it once.

    A copy that torch.hub made earlier is taken if its name has the hash of its content.

    Args:
        url: An ``http(s)`` address.
        folder: For all downloads; default is that of ``torch.hub``.

    Raises:
        ConnectionError: If the address cannot be reached, or gives another content than
            the hash in its name says.
    """
    root = Path(folder or Path(torch.hub.get_dir()) / "checkpoints")
    name = urlsplit(url).path.rpartition("/")[2] or "weights.pth"
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    path = root / key / name
    if path.is_file():
        return path
    found = re.search(r"-([0-9a-f]{8,})\.", name)
    sha256_start = found[1] if found else None
    earlier = root / name
    if sha256_start and earlier.is_file() and _sha256(earlier).startswith(sha256_start):
        return earlier
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Written to a temporary name and moved, so that ranks may race.
        torch.hub.download_url_to_file(url, str(path), sha256_start)
    except (URLError, OSError, RuntimeError) as err:
        raise ConnectionError(
            f"Cannot download the weights '{url}' ({err}). Fetch that file on a "
            "machine with network and name it: checkpoint='<file>.pth' instead of "
            f"pretrained=True; or put it at '{path}'."
        ) from err
    return path


def load_url(
    url: str,
    model_dir: str | Path | None = None,
    map_location: Any = None,
    **_: Any,
) -> Any:
    """Load a checkpoint of the web; stands in for ``torch.hub``'s function.

    Args:
        url: An ``http(s)`` address.
        model_dir: Folder for all downloads.
        map_location: As for ``torch.load``.

    Raises:
        CheckpointError: If the file is damaged or refused.
        ConnectionError: If the address cannot be reached.
    """
    path = download(url, model_dir)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            if len(members) == 1:  # the hub has old checkpoints in such an archive
                return load(io.BytesIO(archive.read(members[0])), map_location)
    return load(path, map_location)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
