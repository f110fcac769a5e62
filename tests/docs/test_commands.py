"""Every command and every Python block of the documentation does what it says."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

import mmrazor.core.hooks
import mmrazor.core.loops
import mmrazor.models.algorithms  # noqa: F401
from mmrazor.apis.run_config import load_config
from mmrazor.models.algorithms import Algorithm
from mmrazor.models.architectures import build_architecture
from mmrazor.models.losses import DistillLoss
from mmrazor.models.quantizers import BaseFakeQuantize, QuantSettings
from mmrazor.registry import HOOKS, LOOPS, MODELS

from .blocks import ROOT, Block, blocks_of, commands_of, config_commands, pages
from .commands import CommandChecker, CommandError

PAGES = pages()
COMMANDS = ("bash", "shell")
SHOWN = ("text", "yaml", "{toctree}", "{eval-rst}")
_SETTINGS = {field.name for field in fields(QuantSettings)}
_LOSS_KEYS = {"student", "teacher", "student_connector", "teacher_connector"}


@pytest.fixture(params=PAGES, ids=str)
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def blocks(page: Path) -> list[Block]:
    return blocks_of(page, (ROOT / page).read_text("utf-8"))


@pytest.fixture
def checker(
    blocks: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CommandChecker:
    """Stands in a folder with the repository's files and those that the page shows."""
    monkeypatch.chdir(tmp_path)
    made = CommandChecker(tmp_path)
    for block in blocks:
        if block.file_name is not None:
            (tmp_path / block.file_name).write_text(block.text, "utf-8")
    return made


def test_the_readme_and_every_kind_of_page_is_found() -> None:
    assert Path("README.md") in PAGES
    assert Path("docs/en/distillation.md") in PAGES


def test_blocks_are_of_known_kinds(blocks: list[Block]) -> None:
    for block in blocks:
        known = (*COMMANDS, *SHOWN, "python")
        assert block.language in known, f"{block.where}: say which of {known} it is"


def test_commands(blocks: list[Block], checker: CommandChecker) -> None:
    for block in blocks:
        if block.language not in COMMANDS:
            continue
        for words in commands_of(block.text):
            try:
                checker.check(words)
            except (CommandError, OSError, ValueError) as err:
                pytest.fail(f"{block.where}: {' '.join(words)}\n{err}")


def test_commands_in_the_text(page: Path, checker: CommandChecker) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    for command in re.findall(r"`((?:python|bash|make) [^`]+)`", text):
        for words in commands_of(command):
            try:
                checker.check(words)
            except (CommandError, OSError, ValueError) as err:
                pytest.fail(f"{page}: {command}\n{err}")


def test_commands_in_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checker = CommandChecker(tmp_path)
    faults = []
    for config, commands in config_commands().items():
        for words in commands:
            try:
                checker.check(words)
            except (CommandError, OSError, ValueError) as err:
                faults.append(f"{config}: {' '.join(words)}\n{err}")
    assert not faults, "\n".join(faults)


def test_python(blocks: list[Block], checker: CommandChecker) -> None:
    for block in blocks:
        if block.language != "python":
            continue
        if ">>> " in block.text:
            _run_doctest(block)
            continue
        tree = ast.parse(block.text, block.where)
        for type_name, keywords in _named_dicts(tree):
            _check_keywords(block, type_name, keywords)
        if block.run:
            exec(compile(tree, block.where, "exec"), {"__name__": block.where})
        elif block.file_name is not None and not _imports(tree):
            _check_config(Path(block.file_name))


def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path = target.split("#")[0]
        if path and "://" not in path:
            assert (ROOT / page.parent / path).exists(), f"{page}: {target}"


@pytest.mark.parametrize(
    ("command", "match"),
    [
        ("rm -rf work_dirs", "unknown kind"),
        ("python tools/trian.py a.py", "no file 'tools/trian.py'"),
        ("python tools/train.py configs/quickstart/nothing.py", "no config file"),
        ("python tools/train.py configs/quickstart/student.py --ampp", "2"),
        (
            "python tools/prune.py configs/quickstart/student.py --budget flops=1",
            "The budget has 'flops'",
        ),
        (
            "python tools/test.py configs/quickstart/student.py a.pth",
            "No command before",
        ),
        ("make no-such-target", "No rule"),
        ("pip install 'mmrazor[gpu]'", "no extra 'gpu'"),
        ("bash tools/dist_train.sh configs/quickstart/student.py two", "a number"),
    ],
)
def test_wrong_commands_are_noticed(
    command: str, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (words,) = commands_of(command)
    with pytest.raises((CommandError, FileNotFoundError, ValueError), match=match):
        CommandChecker(tmp_path).check(words)


def _run_doctest(block: Block) -> None:
    test = doctest.DocTestParser().get_doctest(
        block.text, {}, block.where, str(block.page), block.line
    )
    assert not doctest.DocTestRunner().run(test).failed, block.where


def _named_dicts(tree: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """Yield ``type`` and keywords of every ``dict(type='...')``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "dict":
            continue
        keywords = {k.arg: k.value for k in node.keywords if k.arg is not None}
        kind = keywords.pop("type", None)
        if isinstance(kind, ast.Constant):
            yield str(kind.value), set(keywords)


def _check_keywords(block: Block, type_name: str, keywords: set[str]) -> None:
    name = type_name.removeprefix("mmrazor.")
    found = [
        r.module_dict[name] for r in (MODELS, HOOKS, LOOPS) if name in r.module_dict
    ]
    assert found or name == type_name, f"{block.where}: there is no {type_name}"
    if not found:
        return
    known: dict[str, Any] = {"_delete_": None}
    # SubnetModel is a function.
    bases = found[0].__mro__ if inspect.isclass(found[0]) else ()
    for cls in bases if Algorithm in bases else found[:1]:
        known.update(inspect.signature(cls).parameters)
    known.update(dict.fromkeys(_LOSS_KEYS) if DistillLoss in bases else {})
    known.update(dict.fromkeys(_SETTINGS) if BaseFakeQuantize in bases else {})
    unknown = keywords - set(known)
    assert not unknown, f"{block.where}: {type_name} takes no {sorted(unknown)}"


def _imports(tree: ast.AST) -> bool:
    nodes = ast.walk(tree)
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes)


def _check_config(path: Path) -> None:
    """Build the model of a config, with random weights in place of files."""
    cfg = load_config(path)
    if "model" not in cfg or "type" not in cfg.model:
        return
    model = cfg.model
    if not model.type.startswith("mmrazor."):
        build_architecture(cfg)
        return
    parts = (model.architecture, model.get("teacher") or Config())
    if any(part.get("cfg_path", "").startswith("work_dirs/") for part in parts):
        return  # what a command writes, and commands run elsewhere
    for part in parts:
        part.pop("checkpoint", None)
        part["pretrained"] = False
    MODELS.build(model)
