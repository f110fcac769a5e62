"""The benchmark of a search's scaling counts losses, and measures what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from rich.console import Console

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))

from search_scaling_report import framework_share, scaling, table_of
from search_scaling_shared import accounted
from toy_supernet import SEARCH, SUPERNET, save_supernet

ROOT = Path(__file__).resolve().parents[2]
TOYS = ROOT / "tests" / "tools"


def begun(names: str) -> list[dict[str, Any]]:
    return [{"at": i, "values": {"op": name}} for i, name in enumerate(names)]


@pytest.mark.parametrize(
    ("dead", "other", "completed", "expected"),
    [
        ("ab", "cbd", "abcd", (0, 0, 1)),  # it held b, which the other one did again
        ("ab", "cd", "acd", (1, 0, 0)),  # nobody did b again
        ("ab", "cd", "abcd", (0, 0, 0)),  # it died right after b
        ("ab", "acbd", "abcd", (0, 1, 1)),  # a was done and told
        ("ab", "bcbd", "abcd", (0, 1, 0)),  # b thrice
        ("ab", "bc", "abc", (1, 0, 1)),  # one too few
        ("ab", "bcd", "abcdd", (0, 1, 1)),  # stored twice
    ],
)
def test_lost_and_twice(
    dead: str, other: str, completed: str, expected: tuple[int, int, int]
) -> None:
    values = [{"op": name} for name in completed]
    found = accounted(begun(dead), begun(other), values, 4)
    assert (found["lost"], found["twice"], found["twice_as_held_by_dead"]) == expected


def side(loops: list[float], score: str = "1", best: str = "x") -> dict[str, Any]:
    """Return what a search with 4 candidates says, a loop time for each rank."""
    ranks = [
        {
            "evaluations": 4 // len(loops),
            "best": [best],
            "seconds": {
                "loop": [loop, loop / 2],
                "evaluations": [loop * 0.8, loop * 0.4],
            },
        }
        for loop in loops
    ]
    return {"rows": [{"accuracy": score}] * 4, "ranks": ranks, "whole_s": 9 * loops[0]}


def test_speed_up_is_that_of_the_slower_rank() -> None:
    turns = [
        (side([10.0]), side([5.0, 4.0]), [side([12.0]), side([12.5])]),
        (side([12.0]), side([4.0, 3.0]), [side([12.0]), side([11.0])]),
        (side([9.0]), side([6.0, 6.0]), [side([11.0]), side([12.0])]),
    ]
    found = scaling(turns)
    assert found["same_candidates_and_scores"]
    assert found["same_result"]
    assert found["candidates"] == 4
    assert found["evaluations_by_rank"] == [2, 2]
    assert found["wall"] == {
        "loop_s": [10.0, 5.0, 12.0],
        "speed_up": 2.0,
        "speed_up_range": [1.5, 3.0],
        "machine": 1.6,  # of 20 / 12.5, 24 / 12, 18 / 12
        "of_machine": 1.25,  # of 12.5 / 2 / 5, 12 / 2 / 4, 12 / 2 / 6
    }
    assert found["cpu"]["loop_s"] == [5.0, 2.5, 6.0]
    assert found["whole_command_s"] == [90.0, 45.0]
    share = framework_share([one for one, _, _ in turns])
    assert share["wall"] == {"share": 0.25, "ms_per_candidate": 500.0}
    assert share["cpu"] == {"share": 0.25, "ms_per_candidate": 250.0}
    shared = accounted(begun("ab"), begun("b"), [{"op": "a"}, {"op": "b"}], 2)
    console = Console(record=True, width=100)
    result = {"processes": found, "framework": share, "shared": shared}
    console.print(table_of(result))
    text = console.export_text()
    assert "2.00 [1.5, 3.0]" in text
    assert "25.00%" in text


def test_another_score_or_another_result_is_seen() -> None:
    one = side([10.0])
    other_score = scaling([(one, side([5.0], score="2"), [one, one])])
    assert not other_score["same_candidates_and_scores"]
    assert other_score["same_result"]
    assert not scaling([(one, side([5.0], best="y"), [one, one])])["same_result"]


@pytest.mark.slow
@pytest.mark.dist
def test_on_a_toy(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    torch.manual_seed(0)
    save_supernet(tmp_path / "supernet.pth")
    loader = {
        "batch_size": 5,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": {"type": "ToyImages", "augment": False},
    }
    cfg = Config(
        dict(
            custom_imports={"imports": ["toy_supernet"]},
            model=SUPERNET,
            train_dataloader=loader,
            val_dataloader=loader,
            val_evaluator={"type": "SearchedAccuracy"},
            val_cfg={},
            train_cfg={"by_epoch": True, "max_epochs": 1},
            optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
            search=SEARCH,
        )
    )
    text = "".join(f"{key} = {value!r}\n" for key, value in cfg.to_dict().items())
    (tmp_path / "toy.py").write_text(text)
    numbers = "--population 4 --generations 2 --turns 1 --shared 9 --kill-after 2"
    path = os.pathsep.join([str(ROOT), str(TOYS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "benchmarks" / "search_scaling.py")),
            *("--config", "toy.py", "--checkpoint", "supernet.pth"),
            *numbers.split(),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["processes"]["same_candidates_and_scores"]
    assert result["processes"]["same_result"]
    assert result["processes"]["candidates"] == 8
    assert result["processes"]["evaluations_by_rank"] == [4, 4]
    assert result["framework"]["wall"]["ms_per_candidate"] > 0
    shared = result["shared"]
    assert shared["subnets"] == 9
    assert (shared["lost"], shared["twice"], shared["begun_by_dead"]) == (0, 0, 2)
