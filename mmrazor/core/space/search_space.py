# A space draws and checks values of its Choices and knows nothing of how they are
# scored, so that one space serves every searcher, pruner and mutator.
"""All Choices of one Architecture, in order."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, final

from numpy.random import Generator

from .choice import Choice
from .values import shown

_MOST_HINTS = 5


@final
class SearchSpace(Mapping[str, Choice]):
    """The ordered set of all Choices of one Architecture, by name.

    Values of a space are a mapping from the name of every Choice to its value. What the
    methods return is new; what they are given stays as it was.

    Args:
        choices: The Choices in order. An object that comes several times, because
            several places share a decision, counts once.

    Raises:
        TypeError: If one of them is no Choice.
        ValueError: If two different Choices have one name.

    Example:
        >>> import numpy as np
        >>> from mmrazor.core.space import KeepChannels, OneOf
        >>> space = SearchSpace([OneOf('op', ['a', 'b']), KeepChannels('out', 3)])
        >>> space, space.size(), space.fingerprint()
        (SearchSpace(choices=2, subnets=14), 14, '85dddc3d')
        >>> values = space.sample(np.random.default_rng(0))
        >>> space.select_(values)
        >>> space['op'].selected == values['op']
        True
    """

    def __init__(self, choices: Iterable[Choice] = ()) -> None:
        self._choices: dict[str, Choice] = {}
        for choice in choices:
            if not isinstance(choice, Choice):
                raise TypeError(
                    f"{choice!r} is no Choice. Give Choices such as OneOf('op', [...])."
                )
            if self._choices.setdefault(choice.name, choice) is not choice:
                raise ValueError(
                    f"Two Choices are named {choice.name!r}: "
                    f"{self._choices[choice.name]} and {choice}. Places with one "
                    "decision share one Choice object; others need names of their own."
                )
        self._fingerprint = _fingerprint(self._choices.values())

    def __getitem__(self, name: str) -> Choice:
        return self._choices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def size(self) -> int:
        """Return the number of subnets. It may have thousands of digits."""
        return math.prod(choice.size() for choice in self._choices.values())

    def fingerprint(self) -> str:
        """Return 8 hex digits of the names, kinds and allowed values, in order.

        Spaces with one fingerprint take the same values. It depends on nothing else:
        not on the values selected, the process or the version of Python.
        """
        return self._fingerprint

    def sample(self, rng: Generator) -> dict[str, Any]:
        """Draw a value for every Choice."""
        return {name: choice.sample(rng) for name, choice in self._choices.items()}

    def mutate(
        self, values: Mapping[str, Any], rng: Generator, prob: float
    ) -> dict[str, Any]:
        """Draw another value for some Choices.

        Args:
            values: Where to start from.
            rng: Source of chance.
            prob: Probability with which each Choice gets another value, in [0, 1].

        Raises:
            ValueError: If the values do not fit, or ``prob`` is no probability.
        """
        if not 0 <= prob <= 1:
            raise ValueError(f"prob={prob!r} must be a probability, from 0 to 1.")
        plain = self.validate(values)
        for name, choice in self._choices.items():
            if rng.random() < prob:
                plain[name] = choice.mutate(plain[name], rng)
        return plain

    def crossover(
        self, a: Mapping[str, Any], b: Mapping[str, Any], rng: Generator
    ) -> dict[str, Any]:
        """Take the value of every Choice from one parent or the other, by chance.

        Raises:
            ValueError: If the values of a parent do not fit.
        """
        parents = self.validate(a), self.validate(b)
        return {name: parents[int(rng.integers(2))][name] for name in self._choices}

    def validate(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values in their plain form and in the order of the space.

        Raises:
            TypeError: If the values are no mapping.
            ValueError: If Choices are missing or unknown or values are not allowed; all
                faults are named.
        """
        if not isinstance(values, Mapping):
            raise TypeError(
                f"{shown(values)} is no mapping of choice names to values. Pass a "
                "dict, or the choices of a Subnet."
            )
        missing = [name for name in self._choices if name not in values]
        unknown = [name for name in values if name not in self._choices]
        faults = [f"It lacks choices {missing}."] if missing else []
        if unknown:
            faults.append(f"It has unknown choices {unknown}.{self._near(unknown)}")
        plain = {}
        for name, choice in self._choices.items():
            try:
                if name in values:
                    plain[name] = choice.validate(values[name])
            except ValueError as err:
                faults.append(str(err))
        if faults:
            raise ValueError(
                "The values do not fit this search space of "
                f"{len(self)} choices. {' '.join(faults)}"
            )
        return plain

    def select_(self, values: Mapping[str, Any]) -> None:
        """Select a value for every Choice, in place; all of them or none.

        Raises:
            ValueError: If the values do not fit.
        """
        for name, value in self.validate(values).items():
            self._choices[name].selected = value

    def selected(self) -> dict[str, Any]:
        """Return the values now selected."""
        return {name: choice.selected for name, choice in self._choices.items()}

    def key(self, values: Mapping[str, Any]) -> Hashable:
        """Return the same hashable key for the same values, whatever their form.

        Raises:
            ValueError: If the values do not fit.

        Example:
            >>> from mmrazor.core.space import KeepChannels
            >>> space = SearchSpace([KeepChannels('out', 3)])
            >>> space.key({'out': range(2)}) == space.key({'out': [0, 1]})
            True
        """
        plain = self.validate(values).values()
        return tuple(tuple(v) if isinstance(v, list) else v for v in plain)

    def __repr__(self) -> str:
        size = self.size()
        # Python refuses to print whole numbers of thousands of digits.
        text = str(size) if size < 10**6 else f"10^{math.log10(size):.1f}"
        return f"SearchSpace(choices={len(self)}, subnets={text})"

    def _near(self, unknown: list[str]) -> str:
        hints = []
        for name in unknown[:_MOST_HINTS]:
            near = difflib.get_close_matches(str(name), [*self], n=3, cutoff=0.5)
            hints += [f" Near {name!r}: {', '.join(map(repr, near))}."] if near else []
        return "".join(hints)


def _fingerprint(choices: Iterable[Choice]) -> str:
    parts = [[c.name, type(c).__name__, c.allowed()] for c in choices]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:8]
