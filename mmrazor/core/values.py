"""Check the values that settings are given."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any


def check_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    whole: bool = False,
) -> None:
    """Check that a setting is a number within bounds; NaN and infinity are not.

    Args:
        name: Of the setting.
        value: What it is.
        least: Smallest number that it may be.
        above: Number that it must be above.
        most: Largest number that it may be.
        whole: Whether it must be a whole number.

    Raises:
        ValueError: If it is something else.

    Example:
        >>> check_number('tau', 0, above=0)
        Traceback (most recent call last):
        ValueError: tau is 0; give a finite number above 0.
    """
    kinds = int if whole else (int, float)
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    fits = fits and math.isfinite(value)
    fits = fits and (least is None or value >= least)
    fits = fits and (above is None or value > above)
    if fits and (most is None or value <= most):
        return
    wanted = "a whole number" if whole else "a finite number"
    bounds = [
        f"{word} {bound}"
        for word, bound in (("from", least), ("above", above), ("up to", most))
        if bound is not None
    ]
    if bounds == [f"from {least}"]:
        bounds = [f"of at least {least}"]
    raise ValueError(f"{name} is {value!r}; give {' '.join([wanted, *bounds])}.")


def check_switch(name: str, value: Any) -> None:
    """Check that a setting is True or False.

    Raises:
        ValueError: If it is something else.

    Example:
        >>> check_switch('fold', 'maybe')
        Traceback (most recent call last):
        ValueError: fold is 'maybe'; give True or False.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; give True or False.")


def check_spec(name: str, value: Any) -> None:
    """Check that a setting is a dict, as the config of a part is.

    Raises:
        TypeError: If it is something else.

    Example:
        >>> check_spec('pruner', 'Pruner')
        Traceback (most recent call last):
        TypeError: pruner is 'Pruner'; give a dict(...) of its settings.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is {value!r}; give a dict(...) of its settings.")


def check_image_size(value: Any) -> None:
    """Check that a setting is the height and width of an image, in whole pixels.

    Raises:
        ValueError: If it is something else.

    Example:
        >>> check_image_size([224])
        Traceback (most recent call last):
        ValueError: image_size is [224]; it must be positive: (height, width) in pixels.
    """
    try:
        height, width = (operator.index(size) for size in value)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(
            f"image_size is {value!r}; it must be positive: (height, width) in pixels."
        )
