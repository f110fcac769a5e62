"""Printed commands reach the tools as they were meant."""

import shlex
import subprocess

import pytest

from mmrazor.apis.commands import tool_command

NAMES = [
    "a b.py",
    "it's.py",
    'a"b.py',
    "run[1].py",
    "$HOME.py",
    "a;b.py",
    "*.py",
    "ä.py",
]


@pytest.mark.parametrize("name", [*NAMES, "plain.py", "<checkpoint>.pth"])
def test_a_shell_hands_the_names_on(name):
    assert shlex.split(tool_command("test", name, name))[2:] == [name, name]


@pytest.mark.parametrize("name", [*NAMES, "line\nbreak.py", "tab\t'x'\\.py"])
def test_bash_reads_what_was_meant(name):
    command = tool_command("test", name)
    assert "\n" not in command
    words = command.removeprefix("python tools/test.py ")
    found = subprocess.run(
        ["bash", "-c", f"printf %s {words}"], capture_output=True, check=True
    )
    assert found.stdout.decode() == name


def test_no_name_is_an_option():
    assert tool_command("train", "--help") == "python tools/train.py ./--help"
    assert tool_command("train", "-x y.py") == "python tools/train.py './-x y.py'"
