"""What the coverage benchmark counts and says; its models are the benchmark itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mmpretrain")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from coverage_models import (
    EXCEPTIONS,
    HOSTS,
    TIMM,
    TORCHVISION,
    coverage_models,
    smallness,
)
from coverage_report import cause, counts, page, summary
from coverage_stage import Stage

from mmrazor.compat import is_importable

OK = {"seconds": 1.0}


def record(name: str, *stages: str, **fields: Any) -> dict[str, Any]:
    """Return what is known of a model whose last stage failed if it starts with '!'."""
    host, _, family = name.partition("/")
    done = {
        stage.lstrip("!"): {**OK, "error": "TypeError: broken"}
        if stage[0] == "!"
        else OK
        for stage in stages
    }
    known = {"name": name, "host": host, "family": family, "seconds": 1.0}
    return {**known, "config": f"{host}::{family}", "stages": done, **fields}


RUN = dict(size=(8, 8), mode="tensor", macs=10**9, params=10**6)
RECORDS = [
    record(
        "mmpretrain/good",
        *("build", "forward", "trace", "prune", "reload", "backward", "train"),
        **RUN,
        macs_share=0.5,
        difference=1e-6,
        reload_difference=0.0,
        frozen=[["is an output of the network", 2]],
    ),
    record(
        "mmpretrain/wrong",
        *("build", "forward", "trace", "prune", "!reload"),
        **RUN,
        macs_share=0.5,
        difference=0.1,
    ),
    record("mmdet/untraced", "build", "forward", "!trace", **RUN),
    record("mmdet/broken", "!build"),
]


def test_counts_are_of_stages_that_passed() -> None:
    found = counts(RECORDS)
    assert found == {
        "models": 4,
        "too_heavy": 0,
        "run": 3,
        "traced": 2,
        "pruned": 2,
        "verified": 1,
        "within_55_percent": 1,
        "backward": 1,
        "reloaded_equal": 1,
        "trained": 1,
        "original_untrainable": 0,
    }


def test_goals_are_shares_of_those_that_run() -> None:
    found = summary(RECORDS)
    assert found["shares_of_run"]["traced"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["met"] == dict.fromkeys(found["goals"], False)
    assert found["causes"] == {"TypeError: broken": ["mmdet/broken"]}
    assert summary(RECORDS[:1])["met"] == dict.fromkeys(found["goals"], True)


def test_page_has_a_row_for_every_model() -> None:
    machine = {"cpu": "some", "cores": 2, "versions": {"torch": "2"}}
    text = page(RECORDS, "The limits.", machine)
    row = "| good | 8 x 8, tensor | 1.00 | 1.0 | 50 % | 1e-06 | yes | 0 |"
    assert f"{row} yes |" in text
    assert "2 x is an output of the network" in text
    assert "| broken | TypeError: broken |" in text
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("RuntimeError: lap is not installed, please install it", "package `lap`"),
        (
            "E: carafe_forward_impl: implementation for device cpu not",
            "`carafe` has no",
        ),
        ("TooHeavyError: 9 M parameters, more than 1 M", "too heavy: 9 M parameters"),
        ("ValueError: a | b", r"a \| b"),
    ],
)
def test_causes(error: str, words: str) -> None:
    assert words in cause(error)


def test_stage_reports_an_error_and_goes_on() -> None:
    sent: list[Any] = []
    with Stage("trace", sent.append) as stage:
        raise ValueError("two\nlines")
    assert not stage.passed
    assert sent[0] == ("begin", "trace")
    kind, (name, result) = sent[1]
    assert (kind, name, result["error"]) == ("end", "trace", "ValueError: two lines")
    assert result["where"].split(":")[0].endswith("test_model_coverage.py")


def test_smallness_reads_names() -> None:
    names = ["y-1.6gf", "y-400mf", "r101", "r50_8xb32", "r50_deploy", "y-tiny", "y-l"]
    assert sorted(names, key=lambda name: smallness(f"{name}.py")) == [
        *("y-tiny", "r50_8xb32", "r101", "y-400mf"),
        *("y-1.6gf", "y-l", "r50_deploy"),
    ]


def test_models_are_listed_and_exceptions_come_first() -> None:
    hosts = [host for host in HOSTS if is_importable(host)]
    models = {model.name: model for model in coverage_models(hosts)}
    families = [m.family for m in models.values() if m.host == "torchvision"]
    assert families == list(TORCHVISION)
    assert sum(m.host == "mmpretrain" for m in models.values()) > 50
    assert "mmpretrain/_base_" not in models
    for name, config in EXCEPTIONS.items():
        if name in models:
            assert models[name].configs[0].endswith(f"/{config}")


@pytest.mark.parametrize("there", [True, False])
def test_timm_is_listed_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr("mmrazor.compat.is_importable", lambda _: there)
    names = [model.family for model in coverage_models(["timm"])]
    assert names == (list(TIMM) if there else [])
    assert len(TIMM) >= 60
