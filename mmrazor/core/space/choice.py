# One kind of data for what other libraries keep apart: the layer and value choices of
# NNI, the width and depth lists of OFA, the masks of a pruner. No modules, no weights.
"""Decisions: a name, the allowed values and the value now selected."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, final

import numpy as np
from numpy.random import Generator

from .values import (
    Scalar,
    Value,
    is_scalar,
    plain_value,
    shown,
    value_from_data,
    value_to_data,
)


class Choice(ABC):
    """A named decision: pure data, no modules.

    Places with one decision share one Choice object.

    Args:
        name: Name in the SearchSpace, such as ``backbone.layers.0.op``.
        selected: Value to begin with.

    Raises:
        ValueError: If the name is empty or no text.
    """

    def __init__(self, name: str, selected: Value) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"A Choice cannot be named {name!r}. Name the place of the decision, "
                "such as 'backbone.layer1.0.conv1.out'."
            )
        self._name = name
        self._selected = selected

    @property
    def name(self) -> str:
        """Name in the SearchSpace; it never changes."""
        return self._name

    @property
    def selected(self) -> Any:
        """Value now selected. Setting it validates; a list is handed out as a copy."""
        return copy.copy(self._selected)

    @selected.setter
    def selected(self, value: Any) -> None:
        self._selected = self.validate(value)

    @abstractmethod
    def allowed(self) -> Any:
        """Return what tells the allowed values, as plain data; for fingerprints."""

    @abstractmethod
    def size(self) -> int:
        """Return the number of allowed values."""

    @abstractmethod
    def validate(self, value: Any) -> Any:
        """Return an allowed value in its plain form: numpy's types become Python's.

        Raises:
            ValueError: If the value is not allowed.
        """

    @abstractmethod
    def sample(self, rng: Generator) -> Any:
        """Draw an allowed value."""

    @abstractmethod
    def mutate(self, value: Any, rng: Generator) -> Any:
        """Draw an allowed value other than the one given; that one if it is alone.

        Raises:
            ValueError: If the value given is not allowed.
        """

    @final
    def to_data(self, value: Any) -> Scalar | dict[str, list[int]]:
        """Return a value as it stands in a Subnet file.

        Raises:
            ValueError: If the value is not allowed.
        """
        return value_to_data(self.validate(value))

    @final
    def from_data(self, data: Any) -> Any:
        """Return the value that stands in a Subnet file.

        Raises:
            ValueError: If that is no value of this Choice.
        """
        try:
            value = value_from_data(data)
        except ValueError as err:
            raise ValueError(f"Choice {self.name!r}: {err}") from err
        return self.validate(value)


@final
class OneOf(Choice):
    """One value out of a list: an op, width, depth, kernel size or bit-width.

    Args:
        name: Name in the SearchSpace.
        values: Allowed values, each once: texts, booleans or finite numbers. The first
            is selected to begin with.

    Raises:
        ValueError: If there are no values, one comes twice or is of another type.

    Example:
        >>> kernel = OneOf('stem.kernel', [3, 5, 7])
        >>> kernel.selected, kernel.size()
        (3, 3)
        >>> kernel.mutate(5, np.random.default_rng(0)) in (3, 7)
        True
        >>> kernel.selected = 4
        Traceback (most recent call last):
        ValueError: Choice 'stem.kernel' does not allow 4. Pick one of [3, 5, 7].
    """

    def __init__(self, name: str, values: Iterable[Scalar]) -> None:
        plain = [] if isinstance(values, str) else [plain_value(v) for v in values]
        # As a set, so that 1, 1.0 and True count as one: they are equal as keys.
        different = {value for value in plain if is_scalar(value)}
        if not plain or len(different) < len(plain):
            raise ValueError(
                f"Choice {name!r} cannot have the values {shown(values)}. Give a list "
                "of one or more different texts, booleans or finite numbers."
            )
        super().__init__(name, plain[0])
        self._values = tuple(plain)
        self._index = {_key(value): i for i, value in enumerate(plain)}

    @property
    def values(self) -> tuple[Scalar, ...]:
        """Allowed values, in order."""
        return self._values

    def allowed(self) -> list[Scalar]:
        """Return the allowed values, in order."""
        return list(self._values)

    def size(self) -> int:
        """Return the number of allowed values."""
        return len(self._values)

    def validate(self, value: Any) -> Scalar:
        """Return the allowed value that equals the one given; ``True`` is not 1.

        Raises:
            ValueError: If there is none.
        """
        return self._values[self._position(value)]

    def sample(self, rng: Generator) -> Scalar:
        """Draw a value, each with the same probability."""
        return self._values[int(rng.integers(len(self._values)))]

    def mutate(self, value: Any, rng: Generator) -> Scalar:
        """Draw one of the other values, each with the same probability.

        Raises:
            ValueError: If the value given is not allowed.
        """
        position, count = self._position(value), len(self._values)
        step = int(rng.integers(1, count)) if count > 1 else 0
        return self._values[(position + step) % count]

    def _position(self, value: Any) -> int:
        comparable = isinstance(value, Scalar | np.generic)
        position = self._index.get(_key(value)) if comparable else None
        if position is None:
            raise ValueError(
                f"Choice {self.name!r} does not allow {shown(value)}. Pick one of "
                f"{list(self._values)}."
            )
        return position

    def __repr__(self) -> str:
        return f"OneOf({self.name!r}, {list(self._values)}, selected={self.selected!r})"


def _key(value: Any) -> tuple[bool, Any]:
    """Return what tells values apart: Python takes ``True`` for 1."""
    return isinstance(value, bool | np.bool_), value
