"""Install mmcv with its compiled operators into the running Python's environment.

mmdet needs the operators. mmcv comes as source only, and pip's wheel cache does not
tell a build without operators from one with them, so this script

1. ends at once when ``mmcv._ext`` imports against the installed torch;
2. else installs mmcv, from pip's cache or by compiling on all cores with progress;
3. and when what came from the cache has no operators (or those of another torch), drops
   it from the cache and compiles.

``MAX_JOBS`` bounds the number of compilers. The whole output is kept in
``build/install_mmcv.log``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent
LOG = REQUIREMENTS.parent / "build" / "install_mmcv.log"
DISTRIBUTION = "onedl-mmcv"
NINJA_LINE = re.compile(r"^\s*\[(\d+)/(\d+)\] ")
GIGABYTES_PER_COMPILER = 1.5


class InstallError(Exception):
    """A reason that the user can act on; shown without a traceback."""


def operators_error() -> str | None:
    """Return why the operators of mmcv do not import, None if they do."""
    code = "import torch, mmcv._ext"
    tried = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    if tried.returncode == 0:
        return None
    return (tried.stderr.strip().splitlines() or ["no message"])[-1]


def check_tools() -> None:
    """Raise unless everything that the compilation needs is there."""
    modules = ["torch", "setuptools", "wheel", "ninja", "packaging"]
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise InstallError(
            f"mmcv is compiled against the environment of {sys.executable}, which "
            f"lacks {missing}. Install them first, or call `make install`."
        )
    if not any(map(shutil.which, [os.environ.get("CXX", "c++"), "g++", "clang++"])):
        raise InstallError(
            "No C++ compiler found. Install one, for example with "
            "`apt-get install g++` (as root)."
        )
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.exists():
        raise InstallError(
            f"The C headers of Python are missing ({header}). Install them, for "
            "example with `apt-get install python3-dev` (as root)."
        )


def num_jobs() -> int:
    """Return how many compilers to run: one a core, as far as memory goes."""
    cores = len(os.sched_getaffinity(0))
    gigabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return max(1, min(cores, int(gigabytes / GIGABYTES_PER_COMPILER)))


def write(text: str) -> None:
    """Write to the terminal at once, without a line end."""
    print(text, end="", flush=True)


def progress_writer(
    is_terminal: bool, now: Callable[[], float] = time.monotonic
) -> Callable[[int, int], str]:
    """Return a function from files done and wanted to the text to show.

    On a terminal that is one line that rewrites itself, elsewhere a line every 10 %.
    """
    start, shown = now(), -1

    def show(done: int, total: int) -> str:
        nonlocal shown
        minutes = (now() - start) / 60
        text = f"[mmcv] compiled {done}/{total} files, {minutes:.1f} min"
        if 10 * done >= total:  # before that the estimate is a guess
            text += f", about {minutes * (total - done) / done:.1f} min left"
        if is_terminal:
            filled = 20 * done // total
            end = "\n" if done == total else ""
            return f"\r[{'#' * filled:<20}] {text}\x1b[K{end}"
        step = 10 * done // total
        if step == shown:
            return ""
        shown = step
        return f"{text}\n"

    return show


def follow(lines: Iterable[str], show: Callable[[int, int], str]) -> None:
    """Copy pip's output into the log and turn ninja's lines into progress."""
    with open(LOG, "a", encoding="utf-8") as log:
        for line in lines:
            log.write(line)
            match = NINJA_LINE.match(line)
            if match:
                write(show(int(match[1]), int(match[2])))
            elif "Using cached" in line and ".whl" in line:
                write("[mmcv] a wheel is in pip's cache\n")


def pip(*arguments: str) -> None:
    """Run pip, showing progress; raise with the telling lines if it fails."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.setdefault("MAX_JOBS", str(num_jobs()))
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        follow(process.stdout, progress_writer(sys.stdout.isatty()))
    if process.returncode:
        lines = LOG.read_text(encoding="utf-8").splitlines()
        errors = [line for line in lines if re.search(r"\berror\b", line, re.I)][:10]
        told = "\n".join(line[:300] for line in [*errors, "...", *lines[-15:]])
        raise InstallError(f"pip failed; the whole output is in {LOG}:\n{told}")


def install() -> None:
    """Put mmcv in place, from pip's cache if that holds one."""
    constraints = REQUIREMENTS / "constraints.txt"
    bounds = ["--constraint", str(constraints)] if constraints.exists() else []
    # --no-build-isolation: the build must see this very torch.
    pip(
        *["install", "--verbose", "--no-input", "--no-build-isolation", "--no-deps"],
        *["--force-reinstall", *bounds, DISTRIBUTION],
    )


def main() -> int:
    """Install unless done, verify, and compile when the cache was no help."""
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_text("", encoding="utf-8")
    try:
        if operators_error() is None:
            write("[mmcv] its operators are there\n")
            return 0
        check_tools()
        write(f"[mmcv] installing; compiling takes minutes, on {num_jobs()} cores\n")
        install()
        error = operators_error()
        if error is not None:
            write(
                f"[mmcv] the wheel in pip's cache does not fit ({error}); compiling\n"
            )
            pip("cache", "remove", DISTRIBUTION.replace("-", "_"))
            install()
            error = operators_error()
        if error is not None:
            raise InstallError(
                f"mmcv was installed, but its operators do not import: {error}. The "
                f"build's output is in {LOG}."
            )
    except InstallError as err:
        write(f"[mmcv] error: {err}\n")
        return 1
    write("[mmcv] installed, its operators import\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
