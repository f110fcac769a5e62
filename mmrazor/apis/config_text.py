# mmengine's pretty_text sorts keys. The order of the values of a Choice is part of its
# space, and that of patterns tells which comes first; so here it is kept.
"""Write a config as text: keys in their order, a line as long as it may be."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import Any

_WIDTH = 79
_STEP = 4


def config_text(values: Mapping[str, Any]) -> str:
    """Return the text of a config file.

    Args:
        values: By top-level name; dicts, lists, tuples and plain values.

    Example:
        >>> print(config_text(dict(b=dict(type='A', x=(1,)), a={'x.y': None})), end='')
        b = dict(type='A', x=(1,))
        a = {'x.y': None}
    """
    return "".join(f"{k} = {_text(v, 0, len(k) + 3)}\n" for k, v in values.items())


def _text(value: Any, indent: int, taken: int) -> str:
    """Return a value as text.

    Args:
        value: The value.
        indent: Of the line that it stands in.
        taken: Characters of that line in use.
    """
    if isinstance(value, Mapping):
        named = all(map(_is_name, value))
        ends = ("dict(", ")") if named else ("{", "}")
        keys = [f"{k}=" if named else f"{k!r}: " for k in value]
        items = list(value.values())
    elif isinstance(value, (list, tuple)):
        ends = ("[", "]") if isinstance(value, list) else ("(", ")")
        keys, items = [""] * len(value), list(value)
    else:
        return repr(value)
    deeper = indent + _STEP
    parts = [
        key + _text(item, deeper, deeper + len(key))
        for key, item in zip(keys, items, strict=True)
    ]
    comma = "," if isinstance(value, tuple) and len(parts) == 1 else ""
    line = f"{ends[0]}{', '.join(parts)}{comma}{ends[1]}"
    if "\n" not in line and taken + len(line) < _WIDTH:
        return line
    lines = "".join(f"{' ' * deeper}{part},\n" for part in parts)
    return f"{ends[0]}\n{lines}{' ' * indent}{ends[1]}"


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)
