"""What the distribution ships: configs and tools inside it, every metafile listed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import yaml

from mmrazor.version import __version__

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ["LICENSE", "MANIFEST.in", "model-index.yml", "pyproject.toml", "setup.py"]

# Only what the repository holds, not what lies in a working copy.
IGNORED = {"__pycache__", ".mim"}
INFO = f"mmrazor-{__version__}.dist-info"


def files_below(folder: Path) -> list[Path]:
    """Return the source files of a folder, relative to the repository."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    inner = (path.relative_to(ROOT) for path in paths)
    return sorted(path for path in inner if not IGNORED & set(path.parts))


@pytest.fixture(scope="module")
def source_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that building leaves nothing in the repository."""
    tree = tmp_path_factory.mktemp("source")
    names = [Path(name) for name in SHIPPED]
    for folder in ("mmrazor", "configs", "tools", "requirements"):
        names += files_below(ROOT / folder)
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((ROOT / name).read_bytes())
    return tree


def pip(*arguments: str, cwd: Path) -> None:
    """Run pip without the network and without build isolation."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, *arguments], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


OFFLINE = ["--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir"]


@pytest.fixture(scope="module")
def wheel(source_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", *OFFLINE, "-w", str(folder), ".", cwd=source_tree)
    (path,) = folder.glob("mmrazor-*.whl")
    return path


def read_config(name: str, python_path: Path, cwd: Path) -> str:
    """Load a config that inherits from ``mmrazor::NAME``, in a new process."""
    (cwd / "child.py").write_text(f"_base_ = ['mmrazor::{name}']\n", encoding="utf-8")
    # The first folder wins over the editable install of the development environment.
    code = (
        f"import sys; sys.path.insert(0, {str(python_path)!r});"
        "import mmrazor; print(mmrazor.__file__);"
        "from mmengine.config import Config; print(len(Config.fromfile('child.py')))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def first_config() -> str:
    """Return the path of one shipped config that holds at least one key."""
    return str(files_below(ROOT / "configs" / "_base_")[0].relative_to("configs"))


def test_wheel_holds_the_package_configs_and_tools(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {str(path) for path in files_below(ROOT / "mmrazor")}
    for folder in ("configs", "tools"):
        inner = (str(path) for path in files_below(ROOT / folder))
        expected |= {f"mmrazor/.mim/{path}" for path in inner}
    expected |= {"mmrazor/.mim/model-index.yml", "mmrazor/py.typed"}
    assert not expected - names
    assert not [name for name in names if "__pycache__" in name]
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"mmrazor", INFO}


def test_wheel_metadata(wheel: Path) -> None:
    text = zipfile.ZipFile(wheel).read(f"{INFO}/METADATA").decode()
    metadata = message_from_string(text)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.10"
    extras = set(metadata.get_all("Provides-Extra", []))
    assert {"mm", "onnx", "search", "all"} <= extras
    plain = [
        line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line
    ]
    assert not [line for line in plain if "<" in line or "==" in line], plain


def test_config_of_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip("install", *OFFLINE, "--target", str(site), str(wheel), cwd=tmp_path)
    where = read_config(first_config(), site, tmp_path).splitlines()[0]
    assert Path(where).is_relative_to(site)


def test_config_of_the_editable_install(tmp_path: Path) -> None:
    where = read_config(first_config(), tmp_path, tmp_path).splitlines()[0]
    assert Path(where).is_relative_to(ROOT)


def test_editable_install_links_into_mim(source_tree: Path, tmp_path: Path) -> None:
    pip("install", *OFFLINE, "--target", str(tmp_path), "-e", ".", cwd=source_tree)
    mim = source_tree / "mmrazor" / ".mim"
    assert sorted(path.name for path in mim.iterdir()) == [
        "configs",
        "model-index.yml",
        "tools",
    ]
    for path in mim.iterdir():
        assert path.is_symlink()
        assert path.resolve() == source_tree / path.name


def test_every_package_folder_is_a_package() -> None:
    folders = {path.parent for path in files_below(ROOT / "mmrazor")}
    lacking = [
        str(folder)
        for folder in sorted(folders)
        if not (ROOT / folder / "__init__.py").exists()
    ]
    assert not lacking, f"setuptools would leave these out: {lacking}"


def test_model_index_lists_every_metafile() -> None:
    index = yaml.safe_load((ROOT / "model-index.yml").read_text(encoding="utf-8"))
    listed = index["Import"]
    found = [str(p) for p in files_below(ROOT / "configs") if p.name == "metafile.yml"]
    assert sorted(listed) == sorted(found)
    assert listed == sorted(set(listed))


def test_metafiles_name_existing_configs() -> None:
    for path in (ROOT / "configs").rglob("metafile.yml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for model in content.get("Models", []):
            assert (ROOT / model["Config"]).is_file(), f"{path}: {model['Config']}"
