"""Set up ``.venv``, as far as a target of the Makefile needs it.

Runs with the standard library alone, on any Python >= 3.10::

    python3 requirements/setup_env.py {fast,full,docs}

``fast`` holds what classification and ONNX need, with an mmcv that has no compiled
operators: it is ready in one to two minutes. ``full`` adds mmcv with its operators,
the other host libraries and the test tools. ``docs`` is ``fast`` plus Sphinx. A level
that is already there is recognised by its stamp (the requirement files' contents and
the versions found in ``.venv``); then nothing is done.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = ROOT / "build" / "setup.log"
LEVELS = ("fast", "full", "docs")

# Files whose contents decide whether a level must be set up again.
SHARED = ["build.txt", "constraints.txt", "fast.txt", "runtime.txt", "setup_env.py"]
OWN = {
    "fast": [],
    "full": ["install_mmcv.py", "mminstall.txt", "optional.txt", "tests.txt"],
    "docs": ["docs.txt"],
}

# What an editable install links into mmrazor/.mim.
LINKED = ["configs", "tools", "model-index.yml"]

# Runs inside .venv; prints what a stamp remembers, without importing torch.
PROBE = """
import json, pathlib, sys
from importlib import metadata, util

found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        found[name] = None
mmcv = util.find_spec("mmcv")
folders = mmcv.submodule_search_locations if mmcv else []
found["mmcv._ext"] = any(list(pathlib.Path(f).glob("_ext*")) for f in folders)
print(json.dumps(found))
"""


class SetupError(Exception):
    """A reason that the user can act on; shown without a traceback."""


def say(text: str) -> None:
    """Print one line at once."""
    print(f"[setup] {text}", flush=True)


def venv_works() -> bool:
    """Return whether ``.venv`` has a Python that starts and knows pip."""
    command = [str(PYTHON), "-c", "import pip"]
    return PYTHON.exists() and subprocess.run(command, check=False).returncode == 0


def create_venv() -> None:
    """Make ``.venv`` anew with the running Python."""
    version = ".".join(map(str, sys.version_info[:3]))
    try:
        import ensurepip
        import venv
    except ImportError as err:
        raise SetupError(
            f"Python {version} ({sys.executable}) cannot make virtual environments: "
            f"{err}. Install the missing part with `apt-get install python3-venv` "
            "(as root) and call make again."
        ) from err
    say(f"making .venv with Python {version}")
    venv.create(VENV, clear=True, with_pip=bool(ensurepip.version()))


def run(title: str, *command: str) -> None:
    """Run one step inside ``.venv`` and tell how long it took."""
    say(f"{title} ...")
    start = time.monotonic()
    done = subprocess.run([str(PYTHON), *command], cwd=ROOT, check=False)
    if done.returncode:
        raise SetupError(f"{title}: failed, see the lines above and {LOG}.")
    say(f"{title}: {time.monotonic() - start:.0f} s")


def pip_install(title: str, *arguments: str) -> None:
    """Run ``pip install``, never past the tried versions."""
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    run(
        title,
        *["-m", "pip", "install", *quiet, "--no-input", "--disable-pip-version-check"],
        *["--log", str(LOG), "--constraint", str(REQUIREMENTS / "constraints.txt")],
        *arguments,
    )


def files(*names: str) -> list[str]:
    """Return the pip arguments that read requirement files."""
    return [word for name in names for word in ("-r", str(REQUIREMENTS / name))]


def probe() -> dict[str, str | bool | None]:
    """Return the versions in ``.venv`` of everything the constraints name."""
    lines = (REQUIREMENTS / "constraints.txt").read_text(encoding="utf-8").splitlines()
    names = [line.split("==")[0] for line in lines if "==" in line]
    command = [str(PYTHON), "-c", PROBE, *names, "mmrazor"]
    # Not from ROOT: there, the source folder would pass for an installed package.
    found = subprocess.run(command, cwd=VENV, check=True, capture_output=True).stdout
    return json.loads(found)


def digest(level: str) -> str:
    """Return a hash of all that decides what ``level`` installs.

    The folder counts too: after a move, the editable install points to the old place.
    """
    paths = [REQUIREMENTS / name for name in sorted(SHARED + OWN[level])]
    paths += [ROOT / "setup.py", ROOT / "mmrazor" / "version.py"]
    contents = [str(ROOT).encode(), *(path.read_bytes() for path in paths)]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()


def stamp_path(level: str) -> Path:
    """Return the file that says that ``level`` is there."""
    return VENV / f".mmrazor-{level}.json"


def is_done(level: str) -> bool:
    """Return whether the stamp of ``level`` fits the files and ``.venv``."""
    path = stamp_path(level)
    if not path.exists():
        return False
    mim = ROOT / "mmrazor" / ".mim"
    if any((ROOT / name).exists() and not (mim / name).exists() for name in LINKED):
        return False
    stamp = json.loads(path.read_text(encoding="utf-8"))
    return stamp == {"digest": digest(level), "found": probe()}


def write_stamps(level: str) -> None:
    """Remember what is there now.

    The other levels stay done when only versions moved: ``full`` replaces the mmcv of
    ``fast``, which is as good for ``fast``.
    """
    found = probe()
    for other in LEVELS:
        path = stamp_path(other)
        if other == level or (level != "fast" and other == "fast"):
            current = digest(other)
        elif path.exists():
            current = json.loads(path.read_text(encoding="utf-8"))["digest"]
        else:
            continue
        new = path.with_suffix(".new")
        new.write_text(json.dumps({"digest": current, "found": found}), "utf-8")
        os.replace(new, path)


def mend_opencv() -> None:
    """Replace OpenCV by its headless build where libGL is missing.

    mmcv asks for ``opencv-python``, which does not start on machines without a desktop;
    the headless build has the same files less the windows.
    """
    command = [str(PYTHON), "-c", "import cv2"]
    tried = subprocess.run(command, check=False, capture_output=True, text=True)
    if tried.returncode == 0:
        return
    pip_install(
        "OpenCV without its desktop libraries",
        *["--force-reinstall", "--no-deps", "opencv-python-headless"],
    )
    tried = subprocess.run(command, check=False, capture_output=True, text=True)
    if tried.returncode:
        raise SetupError(f"OpenCV does not start:\n{tried.stderr}")


def install(level: str) -> None:
    """Bring ``.venv`` to ``level``; what is there already costs little."""
    # torch and torchvision must be in one command: apart, each picks its own CUDA.
    pip_install(
        "PyTorch and the light libraries (about 3 GB to download when not cached)",
        *files("build.txt", "fast.txt"),
    )
    if level == "full":
        run("mmcv with compiled operators", str(REQUIREMENTS / "install_mmcv.py"))
        pip_install(
            "mmdet, mmseg and the test tools",
            *files("mminstall.txt", "optional.txt", "tests.txt"),
        )
    elif probe()["onedl-mmcv"] is None:
        # Its isolated build sees no torch and so skips the operators: seconds instead
        # of minutes. Such a wheel must not get into pip's cache, where it would pass
        # for one with operators.
        pip_install(
            "mmcv without operators", *["--no-cache-dir", "--no-deps", "onedl-mmcv"]
        )
    if level == "docs":
        pip_install("Sphinx", *files("docs.txt"))
    pip_install(
        "mmrazor, editable", *["--no-deps", "--no-build-isolation", "-e", str(ROOT)]
    )
    mend_opencv()


def ensure(level: str) -> None:
    """Set ``level`` up unless it is there."""
    if sys.version_info < (3, 10):  # noqa: UP036, any Python may start this file
        raise SetupError(
            f"Python {sys.version.split()[0]} is too old: 3.10 or newer is needed. "
            "Name another one, for example `make PYTHON=python3.11 ...`."
        )
    LOG.parent.mkdir(exist_ok=True)
    if venv_works():
        if is_done(level):
            return
    else:
        create_venv()
    start = time.monotonic()
    install(level)
    write_stamps(level)
    say(f"'{level}' is ready after {time.monotonic() - start:.0f} s")


def main() -> int:
    """Parse the arguments; one process at a time sets up."""
    parser = argparse.ArgumentParser(description="Set up .venv for mmrazor.")
    parser.add_argument("level", choices=LEVELS)
    level = parser.parse_args().level
    with open(__file__, encoding="utf-8") as own_source:
        fcntl.flock(own_source, fcntl.LOCK_EX)
        try:
            ensure(level)
        except SetupError as err:
            say(f"error: {err}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
