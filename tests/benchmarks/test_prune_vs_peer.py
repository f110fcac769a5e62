"""The comparison with Torch-Pruning measures ours, compares kept channels, sums up."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from prune_peer_kept import kept_compared
from prune_peer_models import Subject, float_sum, output_layers, subject
from prune_peer_worker import measure, ratio
from prune_vs_peer import goals_met, peer_outcome, table_of
from rich.console import Console


def small() -> Subject:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 8), nn.Linear(8, 3)
    )
    return Subject("small", model.eval(), (torch.rand(1, 6),), 6)


class Told:
    """A peer that drops what it is told."""

    def __init__(self, dropped: dict[str, list[int]]) -> None:
        self._dropped = dropped

    def dropped(self, share: float) -> dict[str, list[int]]:
        return self._dropped


def lowest(model: nn.Sequential, first: int, then: int, count: int) -> list[int]:
    """Return the channels with the least squares in the layers around them."""
    made = model[first].weight.detach().square().sum(1)
    read = model[then].weight.detach().square().sum(0)
    return sorted((made + read).argsort()[:count].tolist())


def test_same_formula_keeps_the_same_channels() -> None:
    case = small()
    dropped = {"0": lowest(case.model, 0, 2, 3), "2": lowest(case.model, 2, 3, 2)}
    found = kept_compared(case, Told(dropped))
    assert (found["groups"], found["same"], found["differ"]) == (2, 2, [])


def test_what_differs_is_named() -> None:
    case = small()
    right = lowest(case.model, 0, 2, 3)
    other = next(channel for channel in range(10) if channel not in right)
    found = kept_compared(case, Told({"0": [*right[1:], other]}))
    assert found["same"] == 0
    assert found["differ"] == [
        {
            "group": "0.out",
            "units": 10,
            "kept": 7,
            "shared": 6,
            "groups_of_peer": ["0.weight"],
        },
        {"group": "2.out", "units": 8, "kept": 0, "shared": 0, "groups_of_peer": []},
    ]


@pytest.mark.slow
def test_ours_alone_is_measured() -> None:
    found = measure(small(), None, turns=2)
    macs = found["macs"]
    assert macs["dense"] == 6 * 10 + 10 * 8 + 8 * 3
    assert 0 < macs["ours"] <= macs["dense"] / 2
    assert found["max_difference"] <= 1e-4
    assert set(found["median_ms"]["cpu"]) == {
        *("forward", "seen_forward", "trace", "ours", "ours_unchecked")
    }
    assert set(found["latency"]["over_dense"]) == {"ours"}


def test_ratios_are_taken_within_turns() -> None:
    times = {"a": [(1.0, 2.0), (6.0, 2.0), (9.0, 1.0)], "b": [(1.0, 1.0)] * 3}
    assert ratio(times, "a", "b") == {"wall": 6.0, "cpu": 2.0}


def test_outputs_and_sums() -> None:
    case = subject("googlenet", 64)
    names = {module: name for name, module in case.model.named_modules()}
    layers = {names[layer] for layer in output_layers(case.model)}
    assert layers == {"fc", "aux1.fc2", "aux2.fc2"}
    nested = {"a": [torch.ones(2), torch.tensor([3])], "b": torch.ones(1)}
    assert float(float_sum(nested)) == 3


FAILING = "raise RuntimeError('no such thing')\n"
ENDLESS = "while True:\n    pass\n"
PEERS = {
    FAILING: "fails: RuntimeError: no such thing",
    ENDLESS: "does not finish within 5 s of processor time",
}


@pytest.mark.slow
@pytest.mark.parametrize("code", PEERS, ids=["fails", "endless"])
def test_how_a_peer_fails_is_told(code: str, tmp_path: Path) -> None:
    (tmp_path / "torch_pruning").mkdir()
    path = tmp_path / "torch_pruning" / "__init__.py"
    path.write_text(f"def __getattr__(name):\n{textwrap.indent(code, '    ')}")
    args = argparse.Namespace(peer=tmp_path, pixels=32, peer_limit=5, limit=900)
    assert peer_outcome("shufflenet_v2_x0_5", args) == PEERS[code]


def test_no_answer_on_a_busy_machine_says_nothing_of_the_peer(tmp_path: Path) -> None:
    args = argparse.Namespace(peer=tmp_path, pixels=32, peer_limit=1, limit=0.1)
    assert peer_outcome("resnet18", args).startswith("unknown: nothing within 0.1 s")


def result(model: str, trace: float, ours: float | None) -> dict[str, Any]:
    ratios = {
        "seen_forward_over_forward": {"cpu": 1.1},
        "trace_over_forward": {"cpu": trace},
    }
    if ours is not None:
        ratios["ours_over_peer"] = {"cpu": ours}
    return {
        "model": model,
        "peer": "finishes" if ours else "fails: why",
        "ratios": ratios,
        "median_ms": {"cpu": {"forward": 9.0, "ours": 30.0}},
        "macs": {"dense": 100, "ours": 50},
        "latency": {"over_dense": {"ours": {"cpu": 0.7}}},
    }


def test_goals_name_the_models() -> None:
    results = [result("a", 1.2, 0.4), result("b", 1.6, None), {"error": "x\ny"}]
    results[2]["model"] = "c"
    found = goals_met(results)
    assert found["trace_over_forward"] == {
        "goal": 1.5,
        "met": ["a"],
        "missed": {"b": 1.6},
    }
    assert found["ours_over_peer"] == {"goal": 0.5, "met": ["a"], "missed": {}}
    console = Console(width=160, record=True, file=sys.stderr)
    console.print(table_of(results))
    text = console.export_text()
    assert "fails: why" in text
    assert "0.500" in text
