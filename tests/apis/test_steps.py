from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from mmrazor.apis.steps import Steps


def test_a_line_for_each_step_that_is_done() -> None:
    file = io.StringIO()
    steps = Steps(Console(file=file, width=80))
    with steps.step("first"):
        assert file.getvalue() == ""
    with pytest.raises(TypeError), steps.step("second", total=2) as advance:
        advance(None)  # type: ignore[call-arg]
    assert re.fullmatch(r"first: \d+\.\d s\n", file.getvalue())


def test_a_terminal_sees_the_step_that_runs() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True)
    with Steps(console).step("counting", total=4) as advance:
        advance()
        advance()
    text = file.getvalue()
    assert "counting" in text
    assert text.count("counting") > 1  # the bar, then the line


def test_no_console_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps().step("first") as advance:
        advance()
    assert capsys.readouterr() == ("", "")
