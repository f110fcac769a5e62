"""Interpolation by hand, files, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmrazor.core.cost import (
    Extent,
    LatencyTable,
    LatencyTableError,
    LayerTimes,
)

GROUPS = {"a": 8, "b": 4}
# 'first' makes a; 'second' reads a, three channels a unit and two more, and makes b.
FIRST = LayerTimes(
    "first", Extent(3), Extent(0, {"a": 1}), (3,), (2, 4, 8), ((1.0, 2.0, 3.0),)
)
SECOND = LayerTimes(
    "second",
    Extent(2, {"a": 3}),
    Extent(0, {"b": 1}),
    (5, 26),
    (1, 4),
    ((1.0, 4.0), (8.0, 14.0)),
)


def table(**changes: object) -> LatencyTable:
    values: dict = dict(dense_ms=20.0, device="a cpu", model="3f2a")
    return LatencyTable(GROUPS, [FIRST, SECOND], **{**values, **changes})


def test_the_whole_model_takes_what_was_measured() -> None:
    assert table()({}) == 20.0
    assert table()(GROUPS) == 20.0
    assert table().rest_ms == 20.0 - (3.0 + 14.0)


@pytest.mark.parametrize(
    ("kept", "first", "second"),
    [
        (dict(a=4, b=4), 2.0, 4 + 10 * 9 / 21),  # 14 channels in: 9 of 21 on the way
        (dict(a=6, b=4), 2.5, 4 + 10 * 15 / 21),
        (dict(a=3, b=1), 1.5, 1 + 7 * 6 / 21),
        (dict(a=1, b=2), 1.0, 2.0),  # first: below its grid
        (dict(a=8, b=3), 3.0, 8 + 6 * 2 / 3),
        (dict(a=4, b=2), 2.0, 2 + (10 - 2) * 9 / 21),  # bilinear: 2 and 10 at b=2
    ],
)
def test_linear_in_between(kept: dict[str, int], first: float, second: float) -> None:
    assert table()(kept) == pytest.approx(3.0 + first + second)


def test_a_bilinear_layer_is_exact_everywhere() -> None:
    rng = np.random.default_rng(0)
    c = rng.random(4)

    def true(i: float, o: float) -> float:
        return c[0] + c[1] * i + c[2] * o + c[3] * i * o

    def layer(rows: tuple[int, ...], columns: tuple[int, ...]) -> LayerTimes:
        times = tuple(tuple(true(i, o) for o in columns) for i in rows)
        ends = (Extent(0, {"a": 1}), Extent(0, {"b": 1}))
        return LayerTimes("x", *ends, rows, columns, times)

    layers = [layer((1, 8), (1, 2, 4)), layer((1, 3, 5, 8), (1, 4))]
    found = LatencyTable(GROUPS, layers, 50.0, "a cpu", "3f2a")
    rest = 50.0 - 2 * true(8, 4)
    for a in range(1, 9):
        for b in range(1, 5):
            assert found({"a": a, "b": b}) == pytest.approx(rest + 2 * true(a, b))


def test_no_layers_and_unknown_groups() -> None:
    assert LatencyTable(GROUPS, [], 5.0, "a cpu", "3f2a")({"a": 1}) == 5.0
    with pytest.raises(ValueError, match="has no group 'c'; it has 2, such as"):
        table()({"c": 1})


def test_written_and_read_back(tmp_path: Path) -> None:
    path = table().save(tmp_path / "a" / "table.json")
    again = LatencyTable.load(path)
    for kept in (dict(a=3, b=2), dict(a=7), {}):
        assert again(kept) == table()(kept)
    assert again.layers == table().layers
    again.check_fits("a cpu", "3f2a")


def test_another_device_model_or_torch_is_refused() -> None:
    for args, text in [
        (("a gpu", "3f2a"), "of another device: 'a cpu', and this is 'a gpu'"),
        (("a cpu", "77"), "of another model: '3f2a', and this is '77'"),
    ]:
        with pytest.raises(LatencyTableError, match=text):
            table().check_fits(*args)
    with pytest.raises(LatencyTableError, match="of another torch: '1.0'"):
        table(torch_version="1.0").check_fits("a cpu", "3f2a")


def test_damaged_files(tmp_path: Path) -> None:
    path = table().save(tmp_path / "table.json")
    data = json.loads(path.read_text())
    wrong = [
        {**data, "format": "else"},
        {k: v for k, v in data.items() if k != "groups"},
        {**data, "layers": [{**data["layers"][0], "grid_out": [2, 4]}]},
        {**data, "layers": [{**data["layers"][0], "grid_out": [4, 2, 8]}]},
        [],
    ]
    for content in wrong:
        path.write_text(json.dumps(content))
        with pytest.raises(LatencyTableError, match="is no latency table, or damaged"):
            LatencyTable.load(path)
    with pytest.raises(FileNotFoundError):
        LatencyTable.load(tmp_path / "gone.json")


def test_a_factor_that_fits_whole_models() -> None:
    plain = table()
    widths = [dict(a=2, b=1), dict(a=4, b=2), dict(a=6, b=4)]
    # Layers take twice as long in the model, and 3 ms are spent beside them.
    dense = 3 + 2 * 17.0
    real = [(kept, 3 + 2 * (plain(kept) - 3)) for kept in widths]
    found = table(dense_ms=dense).calibrated(real)
    assert found.scale == pytest.approx(2)
    assert found.rest_ms == pytest.approx(3)
    assert found({}) == dense
    assert found(dict(a=3, b=1)) == pytest.approx(3 + 2 * (1.5 + 3))
    found.check_fits("a cpu", "3f2a")
    # 2 ms are saved by the table; 1.5 and 2.5 are in fact.
    flat = LatencyTable({"a": 8}, [FIRST], 20.0, "a cpu", "3f2a")
    halved = [({"a": 2}, 20 - 1.5), ({"a": 2}, 20 - 2.5)]
    assert flat.calibrated(halved).scale == pytest.approx(1.0)
    assert flat.calibrated([({"a": 2}, 25.0)]).scale == 0.0  # never negative
    assert flat.calibrated([]).scale == 1.0


def test_the_factor_is_kept_in_the_file(tmp_path: Path) -> None:
    found = table(scale=0.5)
    assert found({"a": 4}) == pytest.approx(20 - 0.5 * (17 - (2 + 4 + 10 * 9 / 21)))
    assert LatencyTable.load(found.save(tmp_path / "t.json"))({"a": 4}) == found(
        {"a": 4}
    )
