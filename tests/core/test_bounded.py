"""Files that are read again: bounded in size and depth, whoever wrote them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmrazor.apis.sensitivity_state import SensitivityState
from mmrazor.apis.stage import Stage
from mmrazor.core import bounded
from mmrazor.core.bounded import read_json, read_text
from mmrazor.core.cost import LatencyTable
from mmrazor.core.searchers import AdditiveLatency
from mmrazor.core.space import OneOf, SearchSpace

HOSTILE = {
    "deep": "[" * 200_000,
    "deep mappings": '{"a":' * 200_000,
    "digits": '{"format": ' + "9" * 10_000 + "}",
    "no text": "\udcff",
    "list": "[1]",
    "number": "3",
    "empty": "",
    "other": '{"format": "mmrazor.other/1"}',
    "nothing": '{"format": null, "groups": null, "settings": null}',
}


@pytest.mark.parametrize("name", list(HOSTILE)[:4])
def test_what_is_no_plain_json_is_a_value_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(HOSTILE[name], "utf-8", errors="surrogateescape")
    with pytest.raises(ValueError):
        read_json(path)


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1, 2]")
    assert read_json(path, most_bytes=6) == [1, 2]
    with pytest.raises(ValueError, match="has more than 5 bytes"):
        read_text(path, most_bytes=5)
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match=f"has more than {bounded.MOST_BYTES} bytes"):
        read_json(path)


SPACE = SearchSpace([OneOf("op", ["a", "b"])])
READERS: dict[str, Callable[[Path], Any]] = {
    "latency table": LatencyTable.load,
    "latency of subnets": lambda path: AdditiveLatency.load(path, SPACE),
    "sensitivity": lambda path: SensitivityState.open(path, {}, resume=True),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_readers_say_which_file_is_damaged(
    tmp_path: Path, name: str, reader: str
) -> None:
    path = tmp_path / "state.json"
    path.write_text(HOSTILE[name], "utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match="state.json") as caught:
        READERS[reader](path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_record_of_a_stage_is_none(tmp_path: Path, name: str) -> None:
    path = tmp_path / "stage.json"
    path.write_text(HOSTILE[name], "utf-8", errors="surrogateescape")
    assert Stage.read(tmp_path) is None
