"""Find where numbers of channels lie between those that were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .product import Extent


class WidthAxis:
    """Places numbers of channels on the grids of all layers at once, along one axis.

    Args:
        extents: Channels of each layer, as they depend on the units kept.
        grids: Numbers of channels of each layer, ascending.
        groups: Number of units of every group.

    Attributes:
        grid: The grids, padded to one length, shape ``(layers, points)``.
    """

    def __init__(
        self,
        extents: Sequence[Extent],
        grids: Sequence[Sequence[int]],
        groups: Mapping[str, int],
    ) -> None:
        places = {name: index for index, name in enumerate(groups)}
        self._const = np.array([extent.const for extent in extents], float)
        self._per_unit = np.zeros((len(extents), len(groups)))
        for row, extent in enumerate(extents):
            for name, width in extent.per_unit.items():
                self._per_unit[row, places[name]] = width
        longest = max((len(grid) for grid in grids), default=1)
        # The last number again: the step beyond it is 0, and so is the fraction.
        padded = [[*grid, *[grid[-1]] * (longest - len(grid))] for grid in grids]
        self.grid = np.array(padded, float).reshape(-1, longest)
        self._last = np.array([max(len(grid) - 2, 0) for grid in grids], int)

    def place(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return for each layer the point of its grid below, and the fraction to go.

        Beyond the ends it is the end.

        Args:
            counts: Units kept of each group, in the order of the groups.

        Example:
            >>> axis = WidthAxis([Extent(1, {'a': 2})], [(3, 7, 9)], {'a': 4})
            >>> index, fraction = axis.place(np.array([2.0]))
            >>> index.tolist(), fraction.tolist()
            ([0], [0.5])
        """
        size = self._const + self._per_unit @ counts
        below = (self.grid <= size[:, None]).sum(1) - 1
        index = np.clip(below, 0, self._last)
        rows = np.arange(len(index))
        low = self.grid[rows, index]
        high = self.grid[rows, np.minimum(index + 1, self.grid.shape[1] - 1)]
        step = np.where(high > low, high - low, 1.0)
        return index, np.clip((size - low) / step, 0.0, 1.0) * (high > low)
