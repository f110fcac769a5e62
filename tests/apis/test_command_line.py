"""Exit codes and last words of a tool, whatever its main does."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

import pytest

from mmrazor.apis.command_line import run


@pytest.fixture
def ended(capsys, monkeypatch):
    """Return a function that runs a main and returns its code and last words."""
    monkeypatch.setattr(sys, "argv", ["tools/train.py", "net.py"])

    def end(main):
        with pytest.raises(SystemExit) as caught:
            run(main)
        return caught.value.code, capsys.readouterr().err

    return end


def test_codes(ended):
    assert ended(lambda: None) == (0, "")
    assert ended(lambda: 3) == (3, "")
    code, text = ended(lambda: 1 // 0)
    assert code == 1
    assert text.startswith("error: ZeroDivisionError: ")
    assert text.count("\n") == 1
    code, text = ended(lambda: argparse.ArgumentParser().parse_args())
    assert code == 2
    assert "unrecognized arguments: net.py" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(ended, number):
    def main():
        os.kill(os.getpid(), number)
        signal.pause()

    before = signal.getsignal(number)
    code, text = ended(main)
    assert code == 130
    assert "python tools/train.py net.py --resume" in text
    assert text.count("\n") == 1
    assert signal.getsignal(number) is before


def test_what_dies_of_the_same_signal_is_no_fault(ended):
    def main():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        except KeyboardInterrupt as err:
            raise RuntimeError("DataLoader worker is killed") from err

    assert ended(main)[0] == 130


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
def test_traceback_for_who_wants_it(ended, monkeypatch, value, shown):
    monkeypatch.setenv("MMRAZOR_DEBUG", value)
    text = ended(lambda: 1 // 0)[1]
    assert ("Traceback (most recent call last)" in text) is shown
    assert text.splitlines()[-1].startswith("error: ")


def test_closed_pipe(ended):
    def main():
        raise BrokenPipeError

    stdout = sys.stdout
    try:
        assert ended(main) == (1, "")
    finally:
        sys.stdout = stdout


@pytest.mark.slow
def test_reader_that_leaves(tmp_path):
    script = tmp_path / "many.py"
    script.write_text(
        "from mmrazor.apis.command_line import run\n"
        "run(lambda: [print('x' * 99) for _ in range(9999)] and 0)\n"
    )
    command = f"'{sys.executable}' '{script}' | head -1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout == "x" * 99 + "\n"
