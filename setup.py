"""Packaging of mmrazor.

``configs``, ``tools`` and ``model-index.yml`` travel inside the package as
``mmrazor/.mim``, as in every OpenMMLab library: MMEngine looks there for
``_base_ = ['mmrazor::...']`` and MIM for ``mim train mmrazor``. An editable install
links them, a wheel holds copies.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_FILES = ("configs", "tools", "model-index.yml")


def read_version() -> str:
    """Return ``__version__`` without importing the package."""
    text = (ROOT / "mmrazor/version.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if match is None:
        raise RuntimeError("mmrazor/version.py has no line '__version__ = \"...\"'.")
    return match.group(1)


def read_requirements(name: str) -> dict[str, list[str]]:
    """Return the requirements of ``requirements/NAME.txt`` by extra.

    Lines before the first ``# extra: EXTRA`` comment belong to the extra ``''``.
    """
    extras: dict[str, list[str]] = {"": []}
    current = extras[""]
    path = ROOT / "requirements" / f"{name}.txt"
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# extra: "):
            current = extras.setdefault(line.removeprefix("# extra: ").strip(), [])
        elif line.strip() and not line.startswith("#"):
            current.append(line.strip())
    return extras


def place_atomically(source: Path, target: Path, link: bool) -> None:
    """Put a link to (or a copy of) ``source`` at ``target``, never half of it."""
    holder = Path(tempfile.mkdtemp(prefix=".placing-", dir=target.parent))
    try:
        fresh = holder / "new"
        if link:
            fresh.symlink_to(
                os.path.relpath(source, target.parent), target_is_directory=True
            )
        elif source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.py[cod]")
            shutil.copytree(source, fresh, ignore=ignored)
        else:
            shutil.copy2(source, fresh)
        if target.is_dir() and not target.is_symlink():
            target.rename(holder / "old")
        fresh.replace(target)
    finally:
        shutil.rmtree(holder)


def fill_mim(package: Path, editable: bool) -> None:
    """Make ``package/.mim``; where links are not allowed, it gets copies."""
    mim = package / ".mim"
    mim.mkdir(parents=True, exist_ok=True)
    for name in MIM_FILES:
        source, target = ROOT / name, mim / name
        if not source.exists():
            continue
        try:
            place_atomically(source, target, link=editable)
        except OSError:
            if not editable:
                raise
            place_atomically(source, target, link=False)


class BuildWithMim(build_py):
    """``build_py`` that also fills ``mmrazor/.mim``."""

    def run(self) -> None:
        """Build the package, then place configs and tools in it."""
        super().run()
        package = ROOT / "mmrazor" if self.editable_mode else None
        fill_mim(package or Path(self.build_lib) / "mmrazor", self.editable_mode)


def main() -> None:
    """Describe the distribution to setuptools."""
    optional = read_requirements("optional")
    extras = {
        "mm": read_requirements("mminstall")[""],
        "onnx": optional["onnx"],
        "search": optional["search"],
    }
    extras["all"] = sorted({line for lines in extras.values() for line in lines})
    extras["tests"] = read_requirements("tests")[""]
    extras["docs"] = read_requirements("docs")[""]
    readme = ROOT / "README.md"
    setup(
        name="mmrazor",
        version=read_version(),
        description="Model compression for OpenMMLab and PyTorch models",
        long_description=readme.read_text("utf-8") if readme.exists() else "",
        long_description_content_type="text/markdown",
        license_expression="Apache-2.0",
        license_files=["LICENSE"],
        keywords="model compression, distillation, pruning, quantization, NAS",
        classifiers=[
            "Development Status :: 4 - Beta",
            "Operating System :: OS Independent",
            "Programming Language :: Python :: 3",
            "Programming Language :: Python :: 3.10",
            "Programming Language :: Python :: 3.11",
            "Programming Language :: Python :: 3.12",
            "Topic :: Scientific/Engineering :: Artificial Intelligence",
        ],
        python_requires=">=3.10",
        packages=find_packages(include=["mmrazor", "mmrazor.*"]),
        package_data={"mmrazor": ["py.typed"]},
        include_package_data=False,
        install_requires=read_requirements("runtime")[""],
        extras_require=extras,
        cmdclass={"build_py": BuildWithMim},
        zip_safe=False,
    )


if __name__ == "__main__":
    main()
