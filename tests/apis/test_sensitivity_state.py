"""Scores survive; those of other settings are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from mmrazor.apis.sensitivity_state import (
    SensitivityState,
    flat_settings,
    weights_hash,
)

SETTINGS = {"model": {"depth": 18, "stages": [{"a": 1}, {"a": 2}]}, "max_batches": None}


def test_written_after_each_and_read_back(tmp_path: Path) -> None:
    path, flat = tmp_path / "a" / "state.json", flat_settings(SETTINGS)
    state = SensitivityState.open(path, flat, resume=True)
    state.keep_dense({"acc": 70.0})
    assert SensitivityState.open(path, flat, resume=True).dense == {"acc": 70.0}
    state.keep("conv.out", 4, {"acc": 60.0})
    state.keep("conv.out", 2, {"acc": float("nan")})
    again = SensitivityState.open(path, flat, resume=True)
    assert again.has("conv.out", 4)
    assert not again.has("conv.out", 3)
    assert not again.has("other.out", 4)
    assert again.groups["conv.out"][4] == {"acc": 60.0}
    assert SensitivityState.open(path, flat, resume=False).groups == {}


def test_other_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    SensitivityState(path, flat_settings(SETTINGS)).keep_dense({"acc": 1.0})
    changed = {"model": {"depth": 34, "stages": [{"a": 1}, {"a": 3}], "new": "x"}}
    with pytest.raises(ValueError, match="holds scores of another analysis") as info:
        SensitivityState.open(path, flat_settings(changed), resume=True)
    for text in (
        "model.depth was 18 and is 34",
        "model.stages[1].a was 2 and is 3",
        "max_batches was None and is not set",
        "model.new was not set and is 'x'",
        "--no-resume",
        "--out",
    ):
        assert text in str(info.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "else/1"}', "null"])
def test_a_damaged_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="no state of a sensitivity analysis"):
        SensitivityState.open(path, {}, resume=True)
    state = SensitivityState.open(path, {}, resume=False)
    state.keep_dense({"acc": 1.0})
    assert json.loads(path.read_text())["dense"] == {"acc": 1.0}


def test_speed_and_kinds_of_sequences_do_not_count() -> None:
    first = {"loader": {"num_workers": 2, "pin_memory": True, "size": (1, 2)}}
    assert flat_settings(first) == flat_settings({"loader": {"size": [1, 2]}})
    assert flat_settings({"a": {}, "b": nn.Linear}) == {"a": "{}", "b": "Linear"}


def test_weights_tell_models_apart() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = weights_hash(net)
    assert weights_hash(net) == before
    net[1].running_mean += 1
    assert weights_hash(net) != before
