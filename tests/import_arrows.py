"""Read the imports of a package from its sources, without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arrow:
    """One import: ``target`` is a dotted name, ``""`` stands for the root package."""

    file: str
    line: int
    source: str
    target: str
    in_function: bool
    for_types: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.source or 'mmrazor'} -> {self.target}"


def module_names(package: Path) -> dict[str, Path]:
    """Return the modules below ``package`` by dotted name, the root being ``""``."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if any(part.startswith(".") for part in parts):
            continue
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported(node: ast.AST, module: str, is_door: bool) -> Iterator[str]:
    """Yield the absolute dotted names that one statement or call imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = [node.module] if node.module else []
        if node.level:
            here = ["mmrazor", *module.split(".")] if module else ["mmrazor"]
            up = node.level - 1 if is_door else node.level
            base = here[: len(here) - up] + base
        yield from (".".join([*base, alias.name]) for alias in node.names)
    elif isinstance(node, ast.Call) and node.args:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        argument = node.args[0]
        if name == "import_module" and isinstance(argument, ast.Constant):
            yield str(argument.value)


def walk(node: ast.AST, function: bool, types: bool) -> Iterator[tuple]:
    """Yield every node with whether it is in a function and under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        is_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        yield child, function, types
        yield from walk(child, function or is_function, types or is_types)


def arrows(package: Path, part: str = "") -> list[Arrow]:
    """Return every import of every module below ``package``.

    ``part`` names a folder outside the package, such as ``tools``, as one part.
    """
    modules = module_names(package)
    found = []
    for module, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        is_door = path.name == "__init__.py"
        for node, in_function, for_types in walk(tree, False, False):
            for name in imported(node, module, is_door):
                place = f"{package.name}/{path.relative_to(package)}"
                where = (place, node.lineno, part or module)
                found.append(Arrow(*where, name, in_function, for_types))
    return found


def inner_target(name: str, modules: dict[str, Path]) -> str | None:
    """Return the module of mmrazor that ``name`` comes from, None for other packages.

    ``from .losses import L2Loss`` gives ``models.losses``, a submodule its own name.
    """
    if name != "mmrazor" and not name.startswith("mmrazor."):
        return None
    inner = name.removeprefix("mmrazor").lstrip(".")
    return inner if inner in modules else inner.rpartition(".")[0]


def is_inside(name: str, part: str) -> bool:
    """Return whether a dotted name is ``part`` or below it."""
    return name == part or name.startswith(f"{part}.")


def cycles(found: list[Arrow], modules: dict[str, Path]) -> list[str]:
    """Return one line for each import cycle between modules."""
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for arrow in found:
        target = inner_target(arrow.target, modules)
        if target in modules and not arrow.for_types and not arrow.in_function:
            graph[arrow.source].add(target)
    done: set[str] = set()
    lines = []

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            lines.append(" -> ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for target in sorted(graph[module]):
                visit(target, [*path, module])
            done.add(module)

    for module in graph:
        visit(module, [])
    return lines
