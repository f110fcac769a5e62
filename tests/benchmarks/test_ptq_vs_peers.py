"""int8 beside others: what is timed, what takes turns, which goals are met."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import ptq_latency
import ptq_vs_peers
from ptq_latency import latencies, ratio, times_in_turns
from ptq_models import Subject, run
from ptq_report import goals_met, table_of
from ptq_vs_peers import beside, compared, in_process, measured
from rich.console import Console

WITHOUT_PEERS = ("ours, ONNX Runtime", "ONNX Runtime's static", "torch FX")


def small(name: str = "small", downloads: Path | None = None) -> Subject:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(6)),
        *(nn.Flatten(), nn.Linear(8, 5)),
    ).eval()
    images = torch.rand(6, 3, 8, 8)
    return Subject(name, model, torch.rand(16, 3, 8, 8), images, run(model, images))


@pytest.fixture
def args(tmp_path: Path, monkeypatch) -> argparse.Namespace:
    monkeypatch.setattr(ptq_vs_peers, "subject", small)
    folders = dict(folder=tmp_path, data_root=tmp_path, peer=tmp_path)
    return argparse.Namespace(turns=1, limit=9.0, files=None, **folders)


@pytest.mark.slow
@pytest.mark.parametrize("side", WITHOUT_PEERS)
def test_each_side_is_close_to_float(side, args):
    found = measured("small", side, args)
    assert found["sqnr_db"] > 25
    assert found["agreement"] >= 5 / 6
    assert min(found["quantize_s"], found["float_ms"], found["int8_ms"]) >= 0
    if found["file"]:
        assert Path(found["file"]).stat().st_size > 0


@pytest.mark.slow
def test_files_of_a_runtime_take_turns(args):
    sides = WITHOUT_PEERS[:2]
    args.files = [(side, measured("small", side, args)["file"]) for side in sides]
    found = beside("small", "ONNX Runtime", args)
    assert set(found["int8_ms"]) == set(sides)
    assert set(found["ours_over"]) == {"ONNX Runtime's static"}
    assert found["ours_over"]["ONNX Runtime's static"] > 0


def test_only_runtimes_with_several_files_are_compared(args, monkeypatch):
    told = []
    monkeypatch.setattr(
        ptq_vs_peers, "in_process", lambda *given: told.append(given) or {}
    )
    results = [
        {"model": "a", "side": "ours, ONNX Runtime", "file": "1.onnx"},
        {"model": "a", "side": "ONNX Runtime's static", "file": "2.onnx"},
        {"model": "a", "side": "ours, OpenVINO", "file": "3.onnx"},
        {"model": "a", "side": "NNCF, OpenVINO", "failed": "why"},
        {"model": "b", "side": "ONNX Runtime's static", "file": "4.onnx"},
    ]
    compared("a", results, args)
    files = ("ours, ONNX Runtime=1.onnx", "ONNX Runtime's static=2.onnx")
    assert told == [("runtime", "a", "ONNX Runtime", args, "--files", *files)]


def test_turns_and_their_ratios(monkeypatch):
    class Clock:
        """Seconds that the models below let pass."""

        now = 0.0

        def perf_counter(self) -> float:
            return self.now

    clock, order = Clock(), []
    monkeypatch.setattr(ptq_latency, "time", clock)

    def model(name: str, seconds: float) -> Any:
        def call(image: torch.Tensor) -> torch.Tensor:
            order.append(name)
            clock.now += seconds * (1 + len(order) % 4)  # load that comes and goes
            return image

        return call

    models = {"slow": model("slow", 0.004), "fast": model("fast", 0.001)}
    times = times_in_turns(models, torch.zeros(1), 4)
    assert order[-8:] == ["slow", "fast"] * 4
    assert times["slow"] == pytest.approx([16.0, 8.0] * 2)
    assert times["fast"] == pytest.approx([1.0, 3.0] * 2)
    assert ratio(times, "slow", "fast") == pytest.approx((16 + 8 / 3) / 2)
    found = latencies(*models.values(), torch.zeros(1), 4)
    assert found == {"float_ms": 12.0, "int8_ms": 2.0, "speed_up": 9.333}


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (subprocess.CompletedProcess([], 1, "", "Trace\nKeyError: 'x'\n"), "KeyError"),
        (subprocess.TimeoutExpired([], 9.0), "nothing within 9 s"),
    ],
)
def test_a_side_that_fails_is_a_row(args, monkeypatch, outcome, text):
    def ended(*_: Any, **__: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(subprocess, "run", ended)
    found = in_process("side", "lite0", "torch FX", args)
    assert found["failed"].startswith(text)
    console = Console(width=120, record=True, file=sys.stderr)
    console.print(table_of([found]))
    assert text in console.export_text()


def side(name: str, seconds: float) -> dict[str, Any]:
    numbers = dict(float_ms=2.0, int8_ms=1.0, speed_up=2.0, sqnr_db=30.0, agreement=1.0)
    return {"model": "a", "side": name, "quantize_s": seconds, **numbers}


def test_goals_name_what_meets_them():
    results = [side("ours, ONNX Runtime", 2.0), side("ours, OpenVINO", 5.0)]
    results += [side("torch FX", 4.0), {"model": "a", "side": "x", "failed": "why"}]
    pairs = [
        {"model": "a", "runtime": "ONNX Runtime", "ours_over": {"x": 0.9, "y": 1.01}},
        {"model": "a", "runtime": "OpenVINO", "ours_over": {"z": 1.03}},
        {"model": "b", "runtime": "OpenVINO", "failed": "why"},
    ]
    assert goals_met(results, pairs) == {
        "calibration_over_fx": {
            "goal": 1.0,
            "met": {"a, ours, ONNX Runtime": 0.5},
            "missed": {"a, ours, OpenVINO": 1.25},
        },
        "latency_over_best": {
            "goal": 1.02,
            "met": {"a, ONNX Runtime": 1.01},
            "missed": {"a, OpenVINO": 1.03},
        },
    }
