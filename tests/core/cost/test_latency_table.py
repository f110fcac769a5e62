"""Interpolation by hand, files, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmrazor.core.cost import Extent, LatencyTable, LatencyTableError, LayerTimes
from mmrazor.core.cost.latency_table import device_name

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


def test_a_cpu_is_named_with_its_threads() -> None:
    assert device_name("cpu").endswith(f", {torch.get_num_threads()} threads")
    assert device_name("meta") == "meta"
