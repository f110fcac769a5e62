"""Names that rich would read as markup are shown as they are."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from rich.console import Console

from mmrazor.core.plain_table import PlainTable

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["[red]", "[/]", "a[/red]b", "[link=x]y", ":fire:", "\\[x]", "[bold", "[1/3]"]


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_a_table_is_plain(name: str) -> None:
    table = PlainTable(title=f"title {name}", caption=f"caption {name}")
    table.add_column(f"header {name}")
    table.add_row(f"cell {name}")
    console = Console(width=60)
    with console.capture() as shown:
        console.print(table)
    for part in ("title", "caption", "header", "cell"):
        assert f"{part} {name}" in shown.get()


def sources() -> list[tuple[Path, ast.AST]]:
    paths = [*(ROOT / "mmrazor").rglob("*.py"), *(ROOT / "tools").glob("*.py")]
    shown = [(path, path.read_text(encoding="utf-8")) for path in paths]
    return [(path, ast.parse(text)) for path, text in shown if "rich" in text]


def markup_in(tree: ast.AST) -> list[int]:
    """Return the lines where a text that is put together goes to rich as markup."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "rich.table":
            found.append(node.lineno)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            texts = node.args if node.func.attr in ("print", "rule", "status") else []
            found += [one.lineno for one in texts if _is_made(one)]
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "TextColumn":
            options = {one.arg: one.value for one in node.keywords}
            plain = options.get("markup")
            if not (isinstance(plain, ast.Constant) and plain.value is False):
                found.append(node.lineno)
    return found


def _is_made(node: ast.AST) -> bool:
    made = (ast.JoinedStr, ast.BinOp)
    calls = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "str"
    return isinstance(node, made) or calls


def test_what_the_sources_print_is_no_markup() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path, tree in sources()
        if path.name != "plain_table.py" and (lines := markup_in(tree))
    }
    assert found == {}


def test_markup_in_sources_would_be_found() -> None:
    for line in (
        "from rich.table import Table",
        "console.print(f'weights: {path}')",
        "console.print('weights: ' + path)",
        "console.rule(str(err))",
        "TextColumn('{task.description}')",
    ):
        assert markup_in(ast.parse(line)) == [1]
    assert markup_in(ast.parse("console.print(Text(f'weights: {path}'))")) == []
