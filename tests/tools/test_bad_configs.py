"""Bad configs, options and files, of every tool: one line, and nothing on the disk."""

from __future__ import annotations

import pytest
import toy_supernet
from bad_bases import config_text, write_files
from bad_configs import CASES, Bad
from run_unformatted import run_unformatted

from tests.tools.conftest import ROOT

LOG = "output.txt"
QUICK = (0, 2)
SLOW = [pytest.mark.slow]


@pytest.fixture
def ended(tmp_path, forkserver):
    """Return a function that runs a case and returns exit code and output."""

    def run(case: Bad):
        script, *arguments = case.words_of_command()
        command = [str(ROOT / "tools" / script), *arguments]
        log = tmp_path / LOG
        process = forkserver.Process(
            target=run_unformatted, args=(command, str(tmp_path), {}, str(log))
        )
        process.start()
        process.join(120)
        return process.exitcode, log.read_text()

    return run


def on_disk(folder):
    """Return all files and folders, with the content of the files."""
    found = {}
    for path in folder.rglob("*"):
        if path.name != LOG and "__pycache__" not in path.parts:
            found[str(path)] = path.read_bytes() if path.is_file() else None
    return found


# Two of five are always run; all in the slow tests.
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=str(case), marks=[] if at % 5 in QUICK else SLOW)
        for at, case in enumerate(CASES)
    ],
)
def test_ends_in_one_line_and_leaves_nothing(case, ended, tmp_path):
    (tmp_path / "net.py").write_text(config_text(case.base, case.change))
    write_files(tmp_path)
    if case.base == "search":
        toy_supernet.save_supernet(tmp_path / "supernet.pth")
    before = on_disk(tmp_path)
    code, output = ended(case)
    lines = output.strip().splitlines()
    assert code == case.code, output
    assert "Traceback" not in output, output
    assert sum("error: " in line for line in lines) == 1, output
    assert "error: " in lines[-1], output
    missing = [word for word in case.words if word not in lines[-1]]
    assert not missing, lines[-1]
    if case.leaves_nothing:
        assert on_disk(tmp_path) == before


def test_there_are_enough_of_them():
    names = {case.words_of_command()[0] for case in CASES}
    assert names == {path.name for path in (ROOT / "tools").glob("*.py")}
    assert len({str(case) for case in CASES}) == len(CASES) >= 150


@pytest.mark.parametrize("base", ["toy", "distil", "net", "prune", "quantize"])
def test_what_they_change_is_right(base, run_tool, tmp_path):
    (tmp_path / "net.py").write_text(config_text(base))
    assert "last checkpoint" in run_tool("train.py", "net.py")
