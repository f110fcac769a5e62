"""The comparison of supernets measures what it says, sums up, and names goals."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

pytest.importorskip("mmpretrain")

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from nas_cost import (
    PEER,
    goals_met,
    measured,
    peer_measured,
    per_call,
    step_ratios,
    step_times,
    table_of,
)
from nas_models import Ours

ROOT = Path(__file__).resolve().parents[2]


def busy(milliseconds: float) -> None:
    end = time.perf_counter() + milliseconds / 1e3
    while time.perf_counter() < end:
        pass


class Toy:
    """A supernet whose steps take twice as long as its plain networks'."""

    def __init__(self) -> None:
        self.number = 0
        self.counted: list[int] = []

    def drawn(self) -> int:
        self.number += 1
        return self.number

    def select(self, subnet: int) -> None:
        busy(0.2)

    def check(self, subnet: int) -> bool:
        busy(0.1)
        return True

    def macs(self, subnet: int) -> int:
        return 10 * subnet

    def real_macs(self, subnet: int) -> int:
        self.counted.append(subnet)
        return 10 * subnet + (subnet == 2)

    def supernet_step(self, subnet: int) -> Callable[[], object]:
        return lambda: busy(4)

    def plain_step(self, subnet: int) -> Callable[[], object]:
        return lambda: busy(2)


ARGUMENTS = argparse.Namespace(calls=20, exact=3, subnets=2, turns=5)


@pytest.mark.slow
def test_what_is_measured() -> None:
    toy = Toy()
    found = measured(toy, ARGUMENTS)
    assert toy.counted == [1, 2, 3]
    assert found["equal_to_real_count"] == {"subnets": 3, "equal": 2}
    # Other load makes calls take longer, never shorter.
    assert found["select_ms"]["wall"] >= 0.2
    assert 100 < found["checks_per_s"]["wall"] <= 10_000
    step = found["step"]["wall"]
    assert step["median_ms"]["supernet"] >= 4
    assert step["step_over_plain"]["of_fastest"] == pytest.approx(2, abs=0.3)


@pytest.mark.slow
def test_steps_take_turns_for_each_subnet() -> None:
    times = step_times(Toy(), 2, 3)
    assert {name: len(pairs) for name, pairs in times.items()} == {
        **dict.fromkeys(("supernet", "plain", "plain_again"), 6)
    }
    given = {"supernet": [3.0, 8.0], "plain": [2.0, 4.0], "plain_again": [2.0, 2.0]}
    pairs = {name: [(t, 2 * t) for t in ts] for name, ts in given.items()}
    found = step_ratios(pairs)
    assert found["wall"]["median_ms"]["supernet"] == 5500
    assert found["cpu"]["step_over_plain"]["median"] == 1.75
    assert found["cpu"]["plain_again_over_plain"]["median"] == 0.75


def test_time_of_a_call_is_its_share_of_a_round() -> None:
    called: list[int] = []
    found = per_call(called.append, [1, 2, 3])
    assert called == 5 * [1, 2, 3]
    assert 0 < found["wall"] < 0.01


@pytest.fixture(scope="module")
def ours() -> Ours:
    return Ours("shufflenetv2", 2, 32, 32)


def test_both_sides_train_the_same_network(ours: Ours) -> None:
    first, second = ours.drawn(), ours.drawn()
    assert first != second
    # All are made before one trains: the weights are the same.
    steps = [(ours.plain_step(s), ours.supernet_step(s)) for s in (first, second)]
    before = ours.algorithm.step()
    (plain, supernet), (other, _) = steps
    loss = plain()["loss"].item()
    assert supernet()["loss"].item() == pytest.approx(loss, rel=1e-6)
    assert other()["loss"].item() != pytest.approx(loss, rel=1e-6)
    assert ours.algorithm.step() == before + 1


def test_costs_are_real(ours: Ours) -> None:
    subnet = ours.drawn()
    assert ours.macs(subnet) == ours.real_macs(subnet)
    most = ours.space_cost.range()["macs"][1]
    within = ours.macs(subnet) <= 0.9 * most
    assert ours.check(subnet) in {within, False}  # parameters are bounded as well
    ours.select(subnet)
    assert ours.algorithm.space.selected() == subnet


def test_a_peer_that_cannot_be_imported_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "ofa").mkdir()
    (tmp_path / "ofa" / "__init__.py").write_text("import no_such_module_at_all\n")
    sizes: dict[str, Any] = dict(size=1, pixels=8, counted=8)
    found = peer_measured(argparse.Namespace(peer=tmp_path, **sizes))
    assert found == {
        "error": "ModuleNotFoundError: No module named 'no_such_module_at_all'"
    }


def result(checks: int, step: float, equal: int = 3) -> dict[str, Any]:
    def one(median: float) -> dict[str, Any]:
        return {"median": median, "quartiles": [median, median]}

    steps = {
        "median_ms": {"supernet": 9.0},
        "step_over_plain": one(step),
        "plain_again_over_plain": one(1.0),
    }
    return {
        "equal_to_real_count": {"subnets": 3, "equal": equal},
        "checks_per_s": {"wall": checks, "cpu": 6000},
        "select_ms": {"wall": 0.2, "cpu": 0.15},
        "step": {"wall": steps, "cpu": steps},
    }


def test_goals_and_table() -> None:
    results = {"a": result(4999, 1.03), "b": result(5000, 1.031, 2)}
    results[PEER] = {"error": "ImportError: no"}
    found = goals_met(results)
    assert set(found) == {"a", "b"}
    cpu = {"checks_per_s": True, "select_ms": True, "step_over_plain": True}
    wall = {"checks_per_s": False, "select_ms": False, "step_over_plain": True}
    assert found["a"] == {"exact": True, "wall": wall, "cpu": cpu}
    assert found["b"]["exact"] is False
    assert found["b"]["wall"]["checks_per_s"] is True
    assert found["b"]["cpu"]["step_over_plain"] is False
    console = Console(width=120, record=True, file=sys.stderr)
    console.print(table_of(results))
    text = console.export_text()
    assert "1.031 [1.031, 1.031]" in text
    assert "ImportError: no" in text


@pytest.mark.slow
def test_the_script_prints_json() -> None:
    options = "--supernets shufflenetv2 --no-peer --size 2 --pixels 32 --counted 32"
    options += " --exact 2 --calls 10 --subnets 1 --turns 2"
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "nas_cost.py"), *options.split()],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["met"]["shufflenetv2"]["exact"] is True
    assert "shufflenetv2" in done.stderr
    assert set(found["supernets"]) == {"shufflenetv2"}
