"""The set-up scripts in ``requirements/``: what they say and when they act."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"


def load_script(name: str) -> ModuleType:
    """Import a script that is no part of a package."""
    spec = importlib.util.spec_from_file_location(name, REQUIREMENTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def install_mmcv() -> ModuleType:
    return load_script("install_mmcv")


@pytest.fixture
def setup_env(tmp_path: Path) -> ModuleType:
    """The script, at work on a copy of the requirements below ``tmp_path``."""
    module = load_script("setup_env")
    copies = tmp_path / "requirements"
    copies.mkdir()
    for path in REQUIREMENTS.iterdir():
        if path.is_file():
            (copies / path.name).write_bytes(path.read_bytes())
    (tmp_path / "mmrazor").mkdir()
    for name in ("setup.py", "mmrazor/version.py"):
        (tmp_path / name).write_bytes((REQUIREMENTS.parent / name).read_bytes())
    (tmp_path / ".venv").mkdir()
    module.ROOT, module.REQUIREMENTS = tmp_path, copies
    module.VENV = tmp_path / ".venv"
    module.probe = lambda: {"torch": "2.11.0", "mmcv._ext": True}
    return module


def minutes() -> itertools.count[float]:
    """A clock that is one minute later at each look, in seconds."""
    return itertools.count(0, 60)


def test_progress_prints_a_line_every_tenth(install_mmcv: ModuleType) -> None:
    clock = minutes()
    show = install_mmcv.progress_writer(False, now=lambda: next(clock))
    texts = [show(done, 20) for done in range(1, 21)]
    assert texts[0] == "[mmcv] compiled 1/20 files, 1.0 min\n"
    # Two files in two minutes: eighteen minutes for the other eighteen.
    assert texts[1] == "[mmcv] compiled 2/20 files, 2.0 min, about 18.0 min left\n"
    assert texts[2] == ""
    assert sum(bool(text) for text in texts) == 11
    assert texts[-1].endswith("about 0.0 min left\n")


def test_progress_rewrites_one_line_on_a_terminal(install_mmcv: ModuleType) -> None:
    clock = minutes()
    show = install_mmcv.progress_writer(True, now=lambda: next(clock))
    texts = [show(done, 4) for done in range(1, 5)]
    assert texts[0].startswith("\r[#####               ] [mmcv] compiled 1/4 files")
    assert [text.count("\n") for text in texts] == [0, 0, 0, 1]


def test_follow_logs_all_and_shows_ninja(
    install_mmcv: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install_mmcv.LOG = tmp_path / "log"
    lines = ["Using pip\n", "  [1/2] c++ a.cpp\n", "  [2/2] c++ b.cpp\n"]
    install_mmcv.follow(lines, lambda done, total: f"{done} of {total};")
    assert capsys.readouterr().out == "1 of 2;2 of 2;"
    assert (tmp_path / "log").read_text() == "".join(lines)


def test_jobs_use_all_cores_memory_allowing(install_mmcv: ModuleType) -> None:
    assert 1 <= install_mmcv.num_jobs() <= len(os.sched_getaffinity(0))
    install_mmcv.GIGABYTES_PER_COMPILER = 1e9
    assert install_mmcv.num_jobs() == 1


def test_a_missing_compiler_is_named(
    install_mmcv: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    install_mmcv.find_spec = lambda name: name
    with pytest.raises(install_mmcv.InstallError, match="apt-get install g"):
        install_mmcv.check_tools()


def test_missing_build_tools_are_named(install_mmcv: ModuleType) -> None:
    install_mmcv.find_spec = lambda name: None if name == "ninja" else name
    with pytest.raises(install_mmcv.InstallError, match=r"\['ninja'\].*make install"):
        install_mmcv.check_tools()


def test_a_wheel_without_operators_is_dropped_and_compiled(
    install_mmcv: ModuleType, tmp_path: Path
) -> None:
    errors = ["No module named 'mmcv'", "No module named 'mmcv._ext'", None]
    calls: list[str] = []
    install_mmcv.LOG = tmp_path / "build" / "log"
    install_mmcv.operators_error = lambda: errors.pop(0)
    install_mmcv.pip = lambda *arguments: calls.append(arguments[0])
    assert install_mmcv.main() == 0
    assert calls == ["install", "cache", "install"]


def test_operators_that_import_are_left_alone(
    install_mmcv: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install_mmcv.LOG = tmp_path / "build" / "log"
    install_mmcv.operators_error = lambda: None
    install_mmcv.pip = lambda *arguments: pytest.fail(f"pip was called: {arguments}")
    assert install_mmcv.main() == 0
    assert "are there" in capsys.readouterr().out


def test_operators_that_never_import_are_an_error(
    install_mmcv: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install_mmcv.LOG = tmp_path / "build" / "log"
    install_mmcv.operators_error = lambda: "undefined symbol: f"
    install_mmcv.pip = lambda *arguments: None
    assert install_mmcv.main() == 1
    assert "do not import: undefined symbol: f" in capsys.readouterr().out


def test_a_stamp_holds_until_a_file_or_a_version_changes(
    setup_env: ModuleType,
) -> None:
    assert not setup_env.is_done("fast")
    setup_env.write_stamps("fast")
    assert setup_env.is_done("fast")
    assert not setup_env.is_done("full")

    constraints = setup_env.REQUIREMENTS / "constraints.txt"
    before = constraints.read_text()
    constraints.write_text(before + "rich==1.0\n")
    assert not setup_env.is_done("fast")
    constraints.write_text(before)
    assert setup_env.is_done("fast")

    setup_env.probe = lambda: {"torch": "2.10.0", "mmcv._ext": True}
    assert not setup_env.is_done("fast")


def test_the_full_level_is_good_for_the_fast_one(setup_env: ModuleType) -> None:
    setup_env.write_stamps("full")
    assert setup_env.is_done("full")
    assert setup_env.is_done("fast")
    assert not setup_env.is_done("docs")


def test_only_the_full_level_depends_on_the_test_tools(setup_env: ModuleType) -> None:
    setup_env.write_stamps("full")
    tests = setup_env.REQUIREMENTS / "tests.txt"
    tests.write_text(tests.read_text() + "tox\n")
    assert setup_env.is_done("fast")
    assert not setup_env.is_done("full")


def test_a_missing_link_is_noticed(setup_env: ModuleType) -> None:
    setup_env.write_stamps("fast")
    (setup_env.ROOT / "configs").mkdir()
    assert not setup_env.is_done("fast")
    (setup_env.ROOT / "mmrazor" / ".mim" / "configs").mkdir(parents=True)
    assert setup_env.is_done("fast")


def test_a_moved_folder_is_noticed(setup_env: ModuleType, tmp_path: Path) -> None:
    setup_env.write_stamps("fast")
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("setup.py", "mmrazor"):
        (tmp_path / name).rename(moved / name)
    setup_env.ROOT = moved
    assert not setup_env.is_done("fast")


def test_stamps_are_json_without_leftovers(setup_env: ModuleType) -> None:
    setup_env.write_stamps("docs")
    for path in setup_env.VENV.iterdir():
        assert path.suffix == ".json"
        assert set(json.loads(path.read_text())) == {"digest", "found"}


def test_a_python_without_venv_is_told_what_to_install(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(setup_env.SetupError, match="apt-get install python3-venv"):
        setup_env.create_venv()


def test_an_old_python_is_refused(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(setup_env.SetupError, match="too old: 3.10 or newer is needed"):
        setup_env.ensure("fast")
