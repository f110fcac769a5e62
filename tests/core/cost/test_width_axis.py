"""Places on grids against numpy.interp."""

from __future__ import annotations

import numpy as np

from mmrazor.core.cost import Extent
from mmrazor.core.cost.width_axis import WidthAxis

GROUPS = {"a": 8, "b": 5}


def test_places_are_those_that_numpy_interpolates_by() -> None:
    extents = [Extent(2, {"a": 3, "b": 1}), Extent(4), Extent(0, {"b": 2})]
    grids = [(6, 9, 20, 31), (4,), (4, 10)]
    axis = WidthAxis(extents, grids, GROUPS)
    for a in range(9):
        for b in range(6):
            index, fraction = axis.place(np.array([a, b], float))
            for row, (extent, grid) in enumerate(zip(extents, grids, strict=True)):
                place = np.interp(
                    extent.size({"a": a, "b": b}), grid, np.arange(len(grid))
                )
                assert index[row] + fraction[row] == place
                assert index[row] < len(grid)
                assert 0 <= fraction[row] <= 1


def test_a_single_point_never_looks_beyond_itself() -> None:
    axis = WidthAxis([Extent(0, {"a": 1}), Extent(1)], [(3,), (1,)], {"a": 8})
    for a in (1, 3, 8):
        index, fraction = axis.place(np.array([a], float))
        assert index.tolist() == [0, 0]
        assert fraction.tolist() == [0, 0]
