"""Read what tools/prune.py takes as text; nothing of it is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from ..core.cost import Budget

_NAMES = ("macs", "params", "latency_ms")


def parse_budget(words: Sequence[str], names: Sequence[str] = _NAMES) -> dict[str, Any]:
    """Read a budget such as ``macs=0.5 params=2e6``.

    Args:
        words: Each is ``NAME=NUMBER`` or ``NAME=LOW,HIGH``.
        names: Which there may be.

    Raises:
        ValueError: If a word is of another form, or a name is unknown or comes twice.

    Example:
        >>> parse_budget(['macs=0.5', 'params=1e6,2e6'])
        {'macs': 0.5, 'params': (1000000.0, 2000000.0)}
    """
    budget: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        numbers = [_number(part) for part in text.strip("()[]").split(",")]
        if not equals or not name or None in numbers or len(numbers) > 2:
            raise ValueError(
                f"--budget '{word}' is not NAME=NUMBER. Write {names[0]}=0.5 for half "
                f"of what the model has, {names[0]}=2e6 for a number, or "
                f"{names[0]}=0.4,0.5 for a range; the names are {', '.join(names)}."
            )
        if name in budget:
            raise ValueError(f"--budget has {name} twice. Keep one of them.")
        budget[name] = numbers[0] if len(numbers) == 1 else tuple(numbers)
    Budget.parse(budget)
    return budget


def parse_importance(text: str) -> str | dict[str, Any]:
    """Read an importance: its name, or ``dict(type='L1Importance', ...)``.

    Raises:
        ValueError: If it is neither.

    Example:
        >>> parse_importance("dict(type='L1Importance', reduction='max')")
        {'type': 'L1Importance', 'reduction': 'max'}
    """
    if re.fullmatch(r"[\w.]+", text.strip()):
        return text.strip()
    try:
        return dict_of(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError) as err:
        raise ValueError(
            f"--importance '{text}' is no name and no dict of plain values. Write "
            "L1Importance, or \"dict(type='L1Importance', reduction='max')\"."
        ) from err


def parse_min_keep(text: str) -> int | float:
    """Read a number of units (``8``) or a fraction of each group (``0.1``).

    Raises:
        ValueError: If it is no number.

    Example:
        >>> parse_min_keep('8'), parse_min_keep('0.1')
        (8, 0.1)
    """
    return int(text) if text.isdigit() else float(text)


def dict_of(node: ast.expr) -> dict[str, Any]:
    """Return the config that an expression of plain values is.

    Raises:
        ValueError: If it is no ``dict(type=...)``.
    """
    pairs: Any
    if isinstance(node, ast.Call):
        named = all(keyword.arg for keyword in node.keywords) and not node.args
        if getattr(node.func, "id", "") != "dict" or not named:
            raise ValueError("a call of something else than dict(name=value)")
        pairs = {k.arg: ast.literal_eval(k.value) for k in node.keywords}
    else:
        pairs = ast.literal_eval(ast.unparse(node))
    if not isinstance(pairs, dict) or "type" not in pairs:
        raise ValueError("no dict with a type")
    return pairs


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
