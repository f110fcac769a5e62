# Which channels, not only how many: what a pruner ranks, a search may exchange.
"""The Choice of the channels that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.random import Generator

from .choice import Choice
from .values import is_kept_list, plain_value, shown


@final
class KeepChannels(Choice):
    """The channels that are kept, as a list of ascending indices.

    Args:
        name: Name in the SearchSpace.
        size: Number of channels (or heads, or other coupled sets) to choose from, at
            least 1. All are kept to begin with.
        min_keep: Least number to keep, at least 1; keeping all is always allowed.
        divisor: The number kept is a multiple of it, or ``size``.

    Raises:
        ValueError: If a number is no whole number from 1.

    Example:
        >>> keep = KeepChannels('conv1.out', 6, min_keep=2, divisor=2)
        >>> keep.counts(), keep.size()
        ([2, 4, 6], 31)
        >>> keep.selected = np.array([0, 5])
        >>> keep.selected, keep.to_data((1, 4))
        ([0, 5], {'keep': [1, 4]})
    """

    def __init__(
        self, name: str, size: int, min_keep: int = 1, divisor: int = 1
    ) -> None:
        for number in (size, min_keep, divisor):
            if not isinstance(number, int | np.integer) or number < 1:
                raise ValueError(
                    f"Choice {name!r}: size={size!r}, min_keep={min_keep!r} and "
                    f"divisor={divisor!r} must be whole numbers, each at least 1."
                )
        super().__init__(name, list(range(size)))
        first = -(-int(min_keep) // int(divisor)) * int(divisor)
        self._num_channels = int(size)
        self._counts = sorted({*range(first, size, divisor), self._num_channels})

    @property
    def num_channels(self) -> int:
        """Number of channels to choose from."""
        return self._num_channels

    def counts(self) -> list[int]:
        """Return the allowed numbers of kept channels, ascending."""
        return list(self._counts)

    def allowed(self) -> dict[str, Any]:
        """Return the number of channels and the allowed numbers of kept ones."""
        return {"size": self._num_channels, "counts": self.counts()}

    def size(self) -> int:
        """Return the number of allowed values: a sum of binomial coefficients."""
        total, ways, counts = 0, 1, set(self._counts)
        for count in range(self._num_channels + 1):
            total += ways if count in counts else 0
            ways = ways * (self._num_channels - count) // (count + 1)
        return total

    def validate(self, value: Any) -> list[int]:
        """Return the kept indices as a new list of int.

        Raises:
            ValueError: If they are no ascending indices, or too few, too many or a
                number that the divisor forbids.
        """
        kept = plain_value(value)
        if not is_kept_list(kept):
            fault = "a list of ascending indices is wanted"
        elif kept and kept[-1] >= self._num_channels:
            fault = f"there are only {self._num_channels} channels"
        elif len(kept) not in self._counts:
            fault = f"it keeps {len(kept)}"
        else:
            return kept
        raise ValueError(
            f"Choice {self.name!r} does not allow {shown(value)}: {fault}. Keep "
            f"{shown(self._counts)} of the channels 0 to {self._num_channels - 1}."
        )

    def sample(self, rng: Generator) -> list[int]:
        """Draw how many to keep, then which; either with the same probability."""
        count = self._counts[int(rng.integers(len(self._counts)))]
        return _drawn(range(self._num_channels), count, rng)

    def mutate(self, value: Any, rng: Generator) -> list[int]:
        """Draw how many to keep, then drop or add channels until it is so many.

        If it is as many as before, one channel is exchanged. The result is another
        value whenever there is one.

        Raises:
            ValueError: If the value given is not allowed.
        """
        kept = self.validate(value)
        dropped = sorted(set(range(self._num_channels)).difference(kept))
        counts = [c for c in self._counts if dropped or c < len(kept)]
        if not counts:
            return kept
        count = counts[int(rng.integers(len(counts)))]
        stay = len(kept) - 1 if count == len(kept) else min(count, len(kept))
        return sorted(_drawn(kept, stay, rng) + _drawn(dropped, count - stay, rng))

    def __repr__(self) -> str:
        return (
            f"KeepChannels({self.name!r}, {self._num_channels}, "
            f"selected={shown(self._selected)})"
        )


def _drawn(pool: Sequence[int], count: int, rng: Generator) -> list[int]:
    """Draw ``count`` different ones, ascending if the pool is."""
    places = rng.choice(len(pool), size=count, replace=False) if count else ()
    return [pool[place] for place in sorted(places)]
