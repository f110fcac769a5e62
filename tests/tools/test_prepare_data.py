"""The tool passes its arguments on and turns errors into one message."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mmrazor.apis.command_line import run

TOOL = Path(__file__).parents[2] / "tools" / "prepare_data.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("prepare_data_tool", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_given_options_are_passed_on(tool, monkeypatch):
    calls = []
    monkeypatch.setattr(tool, "prepare", lambda *args, **kw: calls.append((args, kw)))
    assert tool.main(["mnist"]) == 0
    arguments = ["scenes", "--data-root", "d", "--train-scenes", "5", "--seed", "2"]
    assert tool.main(arguments) == 0
    assert calls == [
        (("mnist", "data"), {}),
        (("scenes", "d"), {"train_scenes": 5, "seed": 2}),
    ]


def test_error_is_one_message(tool, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run(lambda: tool.main(["cifr10", "--data-root", str(tmp_path)]))
    assert ended.value.code == 1
    text = capsys.readouterr().err
    assert "Did you mean 'cifar10'?" in text
    assert text.count("\n") == 1
