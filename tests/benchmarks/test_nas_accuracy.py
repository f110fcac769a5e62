"""The benchmark of searched Subnets compares alike trainings and sums them up."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from scipy import stats

pytest.importorskip("mmpretrain")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import numpy as np
from accuracy_runs import once
from nas_accuracy import drawn_subnets, measured, plan_of
from nas_accuracy_configs import (
    FULL,
    METRIC,
    QUICK,
    Plan,
    compared_config,
    drawn_config,
    search_config,
    supernet_config,
)
from nas_accuracy_report import compared, correlations, draw, tables

from mmrazor.core.space import Subnet

TINY = Plan(1100, 1, 4, 2, drawn=3, compared_epochs=1, seeds=2, workers=0)


def rows(*numbers: tuple[float, float, int]) -> list[dict]:
    return [
        dict(name=f"s{i}", supernet=a, standalone=b, macs=m, params=9 * m)
        for i, (a, b, m) in enumerate(numbers)
    ]


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    calls = []

    def make() -> dict:
        calls.append(1)
        return {"a": 3}

    first = once(tmp_path / "result.json", make)
    assert first["a"] == 3
    assert first["seconds"] >= 0
    assert once(tmp_path / "result.json", make) == first
    assert len(calls) == 1


def test_configs_differ_in_what_they_are_for(tmp_path: Path) -> None:
    plan = replace(QUICK, images=500, epochs=7, drawn=6, population=8)
    supernet, search, drawn = (
        make(plan, tmp_path) for make in (supernet_config, search_config, drawn_config)
    )
    assert supernet.model == search.model == drawn.model
    assert supernet.train_cfg.max_epochs == search.train_cfg.max_epochs == 7
    assert search.param_scheduler.T_max == 7
    assert search.search.searcher.population == 8
    assert search.search.searcher.mutation == 4
    assert drawn.search.searcher == dict(type="RandomSearcher", num_subnets=6)
    assert drawn.search.budget == search.search.budget
    for split in ("train", "val", "test"):
        loader = search[f"{split}_dataloader"]
        assert loader.dataset.data_root == str(tmp_path / "fashion_mnist")
    assert search.train_dataloader.dataset["indices"] == 500


def test_no_image_of_the_search_is_trained_on() -> None:
    for plan in (QUICK, FULL):
        cfg = search_config(plan, Path("data"))
        kept = -cfg.val_dataloader.dataset["indices"]
        assert cfg.val_dataloader.dataset.split == "train"
        assert plan.images + kept <= 60_000
        assert cfg.search.calibrate_bn <= plan.images


def test_all_that_is_compared_is_trained_alike(tmp_path: Path) -> None:
    cfg = search_config(QUICK, tmp_path)
    cfg.pop("search")
    cfg.model = dict(type="mmrazor.SubnetModel", subnet="winner.yaml")
    cfg.dump(str(tmp_path / "retrain.py"))
    retrain = str(tmp_path / "retrain.py")
    first, second = (compared_config(retrain, name, QUICK) for name in "ab")
    assert (first.model.subnet, second.model.subnet) == ("a", "b")
    second.model.subnet = "a"
    assert first.pretty_text == second.pretty_text
    assert first.train_cfg.max_epochs == QUICK.compared_epochs < QUICK.epochs


def test_correlations_are_scipys() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 8, (12, 3))  # with ties
    found = correlations(rows(*(tuple(map(int, one)) for one in numbers)))
    for name, column in (("supernet", 0), ("macs", 2)):
        rho = stats.spearmanr(numbers[:, column], numbers[:, 1]).statistic
        tau = stats.kendalltau(numbers[:, column], numbers[:, 1]).statistic
        assert found[name] == {
            "spearman": pytest.approx(rho, abs=1e-3),
            "kendall": pytest.approx(tau, abs=1e-3),
        }


def test_the_winner_stands_where_it_stands(tmp_path: Path) -> None:
    winner, *drawn = rows((9, 80, 4), (1, 70, 3), (2, 90, 2), (3, 76, 1))
    found = compared(winner, [80.0, 82.0], drawn)
    assert (found["drawn_median"], found["drawn_best"]) == (76, 90)
    assert (found["winner_above"], found["drawn"]) == (2, 3)
    assert found["winner_over_seeds"]["mean"] == 81
    every = [winner, *drawn]
    result = {
        "subnets": every,
        "comparison": found,
        "correlation": {"all": correlations(every), "drawn": correlations(drawn)},
        "phases": {"search": {"seconds": 3.0, "cpu_seconds": 2.0}},
    }
    console = Console(record=True, width=100)
    for table in tables(result):
        console.print(table)
    text = console.export_text()
    assert text.index("s2") < text.index("s0") < text.index("s3") < text.index("s1")
    pytest.importorskip("matplotlib")
    picture = draw(tmp_path / "picture.png", result)
    assert picture is not None
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_winner_is_not_among_those_drawn(tmp_path: Path) -> None:
    winner = Subnet("0" * 8, {"a": "x", "b": "y"}, cost={"macs": 3}, score={METRIC: 9})
    table = tmp_path / "search.csv"
    with table.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["number", METRIC, "macs", "a", "b"])
        lines.writerows([[1, 50.5, 3, "x", "y"], [2, 40.5, 2, "y", "y"]])
    found = drawn_subnets(table, winner)
    assert list(found) == ["drawn00"]
    subnet, path = found["drawn00"]
    assert Subnet.load(path) == subnet
    assert subnet.choices == {"a": "y", "b": "y"}
    assert (subnet.cost, subnet.score) == ({"macs": 2}, {METRIC: 40.5})


def test_the_command_line_changes_the_plan() -> None:
    given = {"drawn": 5, "epochs": None}
    assert plan_of(given, full=True) == replace(FULL, drawn=5)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Return the folder of a Fashion-MNIST of 3200 and 40 images, in its own format."""
    folder = tmp_path / "data" / "fashion_mnist"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, number in (("train", 3200), ("t10k", 40)):
        labels = rng.integers(0, 10, number, np.uint8)
        pixels = rng.integers(0, 255, (number, 28, 28), np.uint8) // 8
        pixels[np.arange(number), labels * 2] = 255  # a line tells the class
        for name, array in (("labels-idx1", labels), ("images-idx3", pixels)):
            sizes = np.array([0x800 + array.ndim, *array.shape], ">i4").tobytes()
            (folder / f"{split}-{name}-ubyte").write_bytes(sizes + array.tobytes())
    return folder.parent


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a minute on a core of its own
def test_from_supernet_to_onnx(data_root: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    result = measured(TINY, data_root, tmp_path / "work")
    names = [row["name"] for row in result["subnets"]]
    assert names[0] == "winner"
    assert names[1:] == [f"drawn{i:02}" for i in range(len(names) - 1)]
    assert len(names) in (3, 4)
    assert all(row["macs"] <= 1.45e6 for row in result["subnets"])
    assert result["export"]["images"] == 40
    assert result["export"]["differing"] == 0
    assert result["export"]["torch"] == pytest.approx(result["winner"]["retrained"])
    assert result["search"]["num_evaluations"] == 8
    again = measured(TINY, data_root, tmp_path / "work")  # nothing runs
    assert json.dumps(again) == json.dumps(result)  # nan of equal scores is not itself
