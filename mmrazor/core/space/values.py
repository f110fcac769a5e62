# One form for values whatever made them: numpy, torch, a config or a file.
"""Values of Choices: scalars and lists of kept indices, in Python and in files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import lt
from typing import Any, TypeAlias

import numpy as np

Scalar: TypeAlias = bool | int | float | str
Value: TypeAlias = Scalar | list[int]

_LONGEST_SHOWN = 100
_DEEPEST = 8


def plain_value(value: Any) -> Any:
    """Return a value without types of numpy or torch; sequences as new lists.

    Example:
        >>> plain_value(np.int64(3)), plain_value(np.arange(2)), plain_value((0, 4))
        (3, [0, 1], [0, 4])
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, list | tuple | range):
        return value
    if set(map(type, value)) <= {int}:
        return list(value)
    return [v.item() if isinstance(v, np.generic) else v for v in value]


def is_scalar(value: Any) -> bool:
    """Return whether a value is a plain text, boolean or finite number."""
    plain = type(value) in (bool, int, str)
    return plain or (type(value) is float and math.isfinite(value))


def is_kept_list(value: Any) -> bool:
    """Return whether a value is a list of ascending indices from 0.

    Example:
        >>> is_kept_list([0, 4]), is_kept_list([4, 0]), is_kept_list([True])
        (True, False, False)
    """
    if not isinstance(value, list) or not set(map(type, value)) <= {int}:
        return False
    return not value or (value[0] >= 0 and all(map(lt, value, value[1:])))


def plain_tree(where: str, data: Any, depth: int = 0) -> Any:
    """Return a copy of nested plain data without types of numpy or torch.

    Args:
        where: What the data is, for messages.
        data: Mappings with texts or whole numbers as keys, lists, scalars and None.
        depth: How deep it is nested in something else.

    Raises:
        ValueError: If there is something else inside, or more than 8 levels.

    Example:
        >>> plain_tree('slots', {'fc.weight': {0: np.array([0, 4])}})
        {'fc.weight': {0: [0, 4]}}
    """
    if depth > _DEEPEST:
        raise ValueError(f"{where} is nested deeper than {_DEEPEST} levels.")
    if isinstance(data, Mapping):
        plain = {}
        for key, value in data.items():
            if type(key) not in (str, int):
                raise ValueError(
                    f"{where} has the key {key!r}, which is no text or whole number."
                )
            plain[key] = plain_tree(f"{where}[{key!r}]", value, depth + 1)
        return plain
    value = plain_value(data)
    if value is None or is_scalar(value) or is_kept_list(value):
        return value
    if isinstance(value, list):
        return [plain_tree(where, item, depth + 1) for item in value]
    raise ValueError(
        f"{where} is {shown(data)}. It must be plain data: a text, boolean, finite "
        "number, None, list or mapping."
    )


def value_to_data(value: Value) -> Scalar | dict[str, list[int]]:
    """Return a value as it stands in a Subnet file.

    Example:
        >>> value_to_data('conv3x3'), value_to_data([0, 4])
        ('conv3x3', {'keep': [0, 4]})
    """
    return {"keep": value} if isinstance(value, list) else value


def value_from_data(data: Any) -> Value:
    """Return the value that stands in a Subnet file.

    Raises:
        ValueError: If no Choice can have such a value.
    """
    if isinstance(data, Mapping) and list(data) == ["keep"]:
        if is_kept_list(data["keep"]):
            return list(data["keep"])
    elif is_scalar(data):
        return data
    raise ValueError(
        f"{shown(data)} is no value. Write a text, true, false, a finite number or "
        "{keep: [...]} with ascending indices."
    )


def shown(value: Any) -> str:
    """Return a value as text for a message, a long one in part.

    Example:
        >>> shown(list(range(1000)))
        '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, ... (1000 in all)'
    """
    text = repr(value)
    if len(text) <= _LONGEST_SHOWN:
        return text
    length = f" ({len(value)} in all)" if hasattr(value, "__len__") else ""
    return text[: text.rfind(" ", 0, 60) + 1 or 60] + "..." + length
