# The look-up tables of FBNet (Wu et al., 2019, arXiv:1812.03443) add up the times of
# operators. Here the times are fitted to whole Subnets, so that nothing is taken apart.
"""Latency of any Subnet as a sum over its Choices, fitted to measured ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from ..bounded import read_json
from ..files import write_json
from ..space import OneOf, SearchSpace

FORMAT = "mmrazor.additive-latency/1"


@final
class AdditiveLatency:
    """Milliseconds as a constant and one number for each value of each Choice.

    It is an estimate: see ``error``, and measure what a search returns.

    Args:
        space: What is estimated.
        base_ms: The constant.
        by_value_ms: By Choice, a number for each of its values, in order.
        error: Median of the relative error on Subnets that were measured and not
            fitted.

    Raises:
        ValueError: If numbers are missing, or a Choice has no list of values.

    Example:
        >>> space = SearchSpace([OneOf('op', ['skip', 'conv'])])
        >>> latency = AdditiveLatency(space, 2.0, {'op': [0.0, 1.5]}, error=0.02)
        >>> latency({'op': 'conv'}), latency.range()
        (3.5, (2.0, 3.5))
    """

    def __init__(
        self,
        space: SearchSpace,
        base_ms: float,
        by_value_ms: Mapping[str, list[float]],
        error: float,
    ) -> None:
        _check_lists(space)
        if {n: len(v) for n, v in by_value_ms.items()} != {
            name: choice.size() for name, choice in space.items()
        }:
            raise ValueError(
                "by_value_ms must have a number for each value of a Choice"
            )
        self.space, self.base_ms, self.error = space, base_ms, error
        self.by_value_ms = {name: list(by_value_ms[name]) for name in space}
        self._tables = [
            (name, dict(zip(choice.allowed(), self.by_value_ms[name], strict=True)))
            for name, choice in space.items()
        ]

    def __call__(self, values: Mapping[str, Any]) -> float:
        """Return the milliseconds of one value for every Choice."""
        return self.base_ms + sum(table[values[name]] for name, table in self._tables)

    def range(self) -> tuple[float, float]:
        """Return the least and the greatest estimate in the space."""
        low, high = (
            self.base_ms + sum(end(table) for table in self.by_value_ms.values())
            for end in (min, max)
        )
        return low, high

    @classmethod
    def fitted(
        cls,
        space: SearchSpace,
        measure: Callable[[dict[str, Any]], float],
        num_subnets: int | None = None,
        seed: int = 0,
    ) -> AdditiveLatency:
        """Measure drawn Subnets and fit, by least squares.

        Args:
            space: Where they are drawn from.
            measure: From values to milliseconds.
            num_subnets: To measure, a fifth of them to check. None: three for each
                number that is fitted.
            seed: Of the draws.

        Raises:
            ValueError: If there are too few Subnets, or times are not finite.
        """
        _check_lists(space)
        sizes = [choice.size() for choice in space.values()]
        unknown = sum(sizes) - len(sizes) + 1
        count = 3 * unknown if num_subnets is None else num_subnets
        held_out = max(count // 5, 1)
        if count - held_out < unknown:
            raise ValueError(
                f"num_subnets={count} is too few to fit {unknown} numbers and keep "
                f"{held_out} to check. Measure at least {3 * unknown // 2 + 2}."
            )
        rng = np.random.default_rng(seed)
        drawn = [space.sample(rng) for _ in range(count)]
        times = np.array([measure(values) for values in drawn], dtype=float)
        if not np.isfinite(times).all() or times.min() <= 0:
            raise ValueError(f"times must be above 0 and finite, got {times.tolist()}")
        shown = np.array([_columns(space, values) for values in drawn])
        fit, rest = slice(held_out, None), slice(held_out)
        weights = np.linalg.lstsq(shown[fit], times[fit], rcond=None)[0]
        error = np.median(np.abs(shown[rest] @ weights - times[rest]) / times[rest])
        parts = np.split(weights[1:], np.cumsum(sizes)[:-1])
        by_value = {n: part.tolist() for n, part in zip(space, parts, strict=True)}
        return cls(space, float(weights[0]), by_value, float(error))

    def save(self, path: str | Path) -> Path:
        """Write it to a JSON file."""
        data = {
            "format": FORMAT,
            "space": self.space.fingerprint(),
            "base_ms": self.base_ms,
            "by_value_ms": self.by_value_ms,
            "error": self.error,
        }
        return write_json(path, data)

    @classmethod
    def load(cls, path: str | Path, space: SearchSpace) -> AdditiveLatency:
        """Read a file that :meth:`save` wrote.

        Raises:
            ValueError: If it is no such file, or of another space.
        """
        try:
            data = read_json(path)
            if (data["format"], data["space"]) == (FORMAT, space.fingerprint()):
                return cls(space, data["base_ms"], data["by_value_ms"], data["error"])
        except (ValueError, KeyError, TypeError) as err:
            raise ValueError(f"'{path}' holds no latency of Subnets: {err}") from err
        raise ValueError(
            f"'{path}' holds {data['format']!r} of space {data['space']!r}, not "
            f"{FORMAT!r} of {space.fingerprint()!r}. Measure this space anew."
        )


def _columns(space: SearchSpace, values: Mapping[str, Any]) -> list[float]:
    shown = [1.0]
    for name, choice in space.items():
        shown += [float(values[name] == value) for value in choice.allowed()]
    return shown


def _check_lists(space: SearchSpace) -> None:
    for name, choice in space.items():
        if not isinstance(choice, OneOf):
            raise ValueError(
                f"Choice {name!r} is a {type(choice).__name__}, which has no list of "
                "values. Bound macs or params instead of the latency."
            )
