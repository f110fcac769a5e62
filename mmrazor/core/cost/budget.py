"""Budget: bounds on cost, as fractions of the largest model or as absolute numbers."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, TypeAlias

Bound: TypeAlias = "float | Sequence[float]"
_EXAMPLE = (
    "a fraction of the dense model in (0, 1], such as 0.5, a number above 1, such as "
    "2e9, or (low, high)"
)


@dataclass(frozen=True)
class Budget:
    """Bounds on the cost of a model; all of them have to hold.

    Each is the most that it may cost, or ``(low, high)``. A number up to 1 is a
    fraction of the dense model's cost (in a search, of the costliest Subnet's), a
    number above 1 the cost itself.

    Args:
        macs: Multiply-accumulates.
        params: Parameters.
        latency_ms: Milliseconds; below 1 ms as a fraction of the dense model's.
        size_bytes: Bytes of all parameters as they are stored, for a search of
            bit-widths; a fraction is of what they take with every weight at its widest.

    Raises:
        TypeError: If a bound is no number and no pair of numbers.
        ValueError: If there is no bound, or a number is out of range.

    Example:
        >>> Budget(macs=0.5, params=(0, 2e6)).limits({'macs': 1000, 'params': 3e6})
        {'macs': (0, 500.0), 'params': (0, 2000000.0)}
    """

    macs: Bound | None = None
    params: Bound | None = None
    latency_ms: Bound | None = None
    size_bytes: Bound | None = None

    def __post_init__(self) -> None:
        if not self.bounds():
            raise ValueError("The budget has no bound. Give one: dict(macs=0.5).")
        for name, bound in self.bounds().items():
            if isinstance(bound, list):  # as configs and files have them
                object.__setattr__(self, name, bound := tuple(bound))
            _check_bound(name, bound)

    @classmethod
    def parse(cls, cfg: Budget | Mapping[str, Any]) -> Budget:
        """Make a budget from a dict, or return one as it is.

        Raises:
            TypeError: If ``cfg`` is no dict.
            ValueError: If it has another key.
        """
        if isinstance(cfg, Budget):
            return cfg
        if not isinstance(cfg, Mapping):
            raise TypeError(f"The budget is {cfg!r}; say of what: dict(macs=0.5).")
        known = [field.name for field in fields(cls)]
        for key in cfg:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f" Did you mean '{near[0]}'?" if near else ""
                raise ValueError(f"The budget has '{key}'; it may have {known}.{hint}")
        return cls(**cfg)

    def bounds(self) -> dict[str, Bound]:
        """Return the bounds that are set, by name, as they were given."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: bound for name, bound in given.items() if bound is not None}

    def limits(self, dense: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """Return lowest and highest cost, by name, in absolute numbers.

        Args:
            dense: Cost of the dense model, by name.

        Raises:
            ValueError: If a lowest cost is above the highest.
        """
        limits = {}
        for name, bound in self.bounds().items():
            pair = bound if isinstance(bound, Sequence) else (0, bound)
            low, high = (_absolute(value, dense[name]) for value in pair)
            if low > high:
                raise ValueError(
                    f"budget {name}={bound} is from {low:.6g} to {high:.6g}, of "
                    f"{dense[name]:.6g} dense; the first may not be above the second."
                )
            limits[name] = (low, high)
        return limits


def _check_bound(name: str, bound: Any) -> None:
    pair = bound if isinstance(bound, tuple) else (0, bound)
    numbers = [v for v in pair if not isinstance(v, bool) and isinstance(v, Real)]
    if len(pair) != 2 or len(numbers) != 2:
        raise TypeError(f"budget {name}={bound!r} is no bound. Give {_EXAMPLE}.")
    low, high = (float(value) for value in numbers)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"budget {name}={bound!r} is not finite. Give {_EXAMPLE}.")
    if low < 0 or high <= 0:
        raise ValueError(f"budget {name}={bound!r} is not above 0. Give {_EXAMPLE}.")


def _absolute(value: float, dense: float) -> float:
    if value > 1 or value == 0:
        return value
    return dense if value == 1 else value * dense
