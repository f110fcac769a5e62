"""What a search writes, against its evaluations; faults with their text."""

from __future__ import annotations

import copy
import csv
import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from rich.console import Console

TOYS = Path(__file__).parents[1] / "tools"
sys.path.insert(0, str(TOYS))  # configs import it by this name

from toy_prune import ToyConvNet, ToyImages  # noqa: E402
from toy_supernet import (  # noqa: E402
    CONV,
    SEARCH,
    SEARCHER,
    SUPERNET,
    save_supernet,
)

from mmrazor.apis import count_cost  # noqa: E402
from mmrazor.apis.run_config import RunConfigError  # noqa: E402
from mmrazor.apis.search import search  # noqa: E402
from mmrazor.apis.search_settings import SearchSettings  # noqa: E402
from mmrazor.apis.search_summary import summary  # noqa: E402
from mmrazor.core.space import Subnet  # noqa: E402
from mmrazor.registry import MODELS  # noqa: E402

LOADER = {
    "batch_size": 5,
    "num_workers": 0,
    "sampler": {"type": "DefaultSampler", "shuffle": False},
    "dataset": {"type": "ToyImages", "augment": False},
}
CONFIG: dict[str, Any] = {
    "custom_imports": {"imports": ["toy_supernet"]},
    "model": SUPERNET,
    "train_dataloader": LOADER,
    "val_dataloader": LOADER,
    "val_evaluator": {"type": "SearchedAccuracy"},
    "val_cfg": {},
    "train_cfg": {"by_epoch": True, "max_epochs": 1},
    "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1}},
    "search": SEARCH,
    "log_level": "ERROR",
}
UNREACHABLE = {"type": "OptunaSearcher", "storage": "sqlite:///n/o"}
AREA = {"k1": 1, "k3": 9, "k5": 25}
NO_BUDGET = {"search.budget": None, "search.calibrate_bn": 0}
OTHER = {"_delete_": True}
EVERYTHING = {"search.searcher": {**OTHER, "type": "RandomSearcher", "num_subnets": 99}}


def macs_of(choices: Any) -> int:
    """Return multiply-accumulates, by hand: 64 places, 8 filters, a linear layer."""
    first, second = (AREA[choices[f"{name}.op"]] for name in ("first", "second"))
    return 64 * 8 * (3 * first + 8 * second) + 8 * 2


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("toy.py").write_text("".join(f"{k} = {v!r}\n" for k, v in CONFIG.items()))
    save_supernet("supernet.pth")
    return tmp_path / "work_dirs" / "toy"


def searched(options: dict[str, Any] | None = None, **others: Any) -> Any:
    return search("toy.py", "supernet.pth", cfg_options=options, **others)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "search.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def shapes_of(subnet: Subnet) -> dict[str, torch.Size]:
    """Return the shapes of the plain network that a Subnet describes."""
    net = ToyConvNet()
    for name, channels in (("first", 3), ("second", 8)):
        kernel = subnet.choices[f"{name}.op"]
        if kernel != "k3":
            setattr(net, name, torch.nn.Conv2d(channels, 8, int(kernel[1])))
    if subnet.choices["norm2.op"] == "none":
        net.norm2 = torch.nn.Identity()
    return {k: v.shape for k, v in net.state_dict().items()}


def accuracy(path: Path) -> float:
    """Return what a plain network scores with the weights of the supernet."""
    parts = {"subnet": str(path), "supernet": "supernet.pth"}
    small = {k: v for k, v in SUPERNET.items() if k != "type"}
    model = MODELS.build({"type": "mmrazor.SubnetModel", **small, **parts}).eval()
    dataset = ToyImages(augment=False)
    items = [dataset[i] for i in range(24)]
    hits = model(
        torch.stack([item["inputs"] for item in items]),
        [item["data_samples"] for item in items],
        mode="predict",
    )
    return 100 * sum(hit["hit"] for hit in hits) / len(hits)


def test_all_that_fit_are_scored_and_written(folder: Path) -> None:
    info = searched({**EVERYTHING, "search.calibrate_bn": 0})
    found = table(folder)
    space = [
        {"first.op": first, "second.op": second, "norm2.op": norm}
        for first in AREA
        for second in AREA
        for norm in ("bn", "none")
    ]
    fit = [one for one in space if 6000 <= macs_of(one) <= 110000]
    assert 8 < len(fit) < len(space)
    rows = [{name: row[name] for name in space[0]} for row in found]
    key = str
    assert sorted(rows, key=key) == sorted(fit, key=key)
    assert list(found[0])[:5] == ["number", "batch", "part", "seconds", "error"]
    assert [row["number"] for row in found] == [str(i + 1) for i in range(len(fit))]
    assert all(int(row["macs"]) == macs_of(row) for row in found)
    assert (info.num_evaluations, info.num_subnets) == (len(fit), len(fit))
    assert info.num_failed == 0
    assert 0 < info.evaluation_s < info.seconds
    best = [Subnet.load(path) for path in info.subnets]
    assert best == list(info.best)
    assert len(best) == min(10, len(fit))
    scores = [subnet.score["accuracy"] for subnet in best]
    assert (
        scores == sorted((float(row["accuracy"]) for row in found), reverse=True)[:10]
    )
    assert scores == [accuracy(path) for path in info.subnets]
    assert len(set(scores)) > 1
    assert Subnet.load(folder / "subnet.yaml") == best[0]
    small = MODELS.build(Config.fromfile(info.retrain).model)
    assert isinstance(small, ToyConvNet)
    assert {k: v.shape for k, v in small.state_dict().items()} == shapes_of(best[0])
    report = {path.name for path in info.report.values()}
    assert report == {"search.html", "pareto.png", "score.png", "choices.png"}


def test_fewer_subnets_than_at_an_earlier_end(folder: Path) -> None:
    (folder / "subnets").mkdir(parents=True)
    (folder / "subnets" / "77.yaml").write_text("old")
    info = searched({"search.searcher.generations": 1, **NO_BUDGET})
    assert sorted((folder / "subnets").iterdir()) == [
        path.absolute() for path in info.subnets
    ]
    assert len(info.subnets) == 4


def test_costs_are_counted_where_something_asks_for_them() -> None:
    assert all(not subnet.cost for subnet in searched(NO_BUDGET).best)


def test_the_cost_of_one_module_alone() -> None:
    options = {"search.prefix": "second", "search.budget.macs": 5000}
    for subnet in searched({**options, **EVERYTHING}).best:
        assert subnet.choices["second.op"] == "k1"
        assert subnet.cost == {"macs": 64 * 64, "params": 64 + 8}


def test_an_image_size_of_its_own() -> None:
    options = {"search.image_size": [16, 8], "search.budget.macs": 12000}
    for subnet in searched({**options, **EVERYTHING}).best:
        assert subnet.cost["macs"] == 2 * (macs_of(subnet.choices) - 16) + 16


def test_latency_is_measured_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def measured(model: Any, inputs: Any) -> Any:
        calls.append(inputs["inputs"].shape)
        cost = count_cost(model, inputs)
        return SimpleNamespace(median_ms=1 + cost.macs / 1e5)

    monkeypatch.setattr("mmrazor.apis.search_costs.measure_latency", measured)
    objectives = ["accuracy", ["latency_ms", "min"]]
    searcher = {**OTHER, "type": "ParetoSearcher", "population": 4, "generations": 2}
    options = {"search.searcher": {**searcher, "objectives": objectives}, **NO_BUDGET}
    info = searched(options)
    assert len(calls) == 3 * (3 + 3 + 2 - 2)  # three for each number that is fitted
    assert set(calls) == {(1, 3, 8, 8)}
    assert info.latency_error == pytest.approx(0, abs=1e-6)
    assert info.objectives == (("accuracy", "max"), ("latency_ms", "min"))
    for subnet in info.best:
        expected = 1 + macs_of(subnet.choices) / 1e5
        assert subnet.cost == {"latency_ms": pytest.approx(expected, rel=1e-6)}
    before = len(calls)
    again = searched(options, resume=True)
    assert again.best == info.best
    assert len(calls) == before


def test_candidates_that_fail_are_recorded_and_the_search_goes_on(folder: Path) -> None:
    options = {"val_evaluator.fails": "odd", **EVERYTHING, "search.calibrate_bn": 0}
    info = searched(options)
    failed = [row for row in table(folder) if row["error"]]
    assert 0 < len(failed) == info.num_failed < info.num_evaluations
    assert {row["error"] for row in failed} == {"ValueError: odd numbers of hits fail"}
    assert {row["accuracy"] for row in failed} == {""}
    for subnet in info.best:
        assert subnet.score["accuracy"] * 24 / 100 % 2 == pytest.approx(0)
    console = Console(width=99, record=True, file=io.StringIO())
    console.print(summary(info), crop=False)
    assert f"Subnets, {len(failed)} failed;" in console.export_text()


def test_nothing_but_failures(folder: Path) -> None:
    match = r"None of 12 evaluations gave a Subnet: 12 failed, the last one with Value"
    with pytest.raises(RuntimeError, match=match):
        searched({"val_evaluator.fails": "all"})
    assert len(table(folder)) == 12
    assert not (folder / "subnet.yaml").exists()


def test_a_seed_is_the_searchers() -> None:
    cfg = Config.fromfile("toy.py")
    assert SearchSettings.of(cfg).searcher.seed == 0
    assert SearchSettings.of(cfg, 3).searcher.seed == 3
    predictor = {"type": "RBFPredictor"}
    outer = {"type": "PredictorSearcher", "searcher": SEARCHER, "predictor": predictor}
    cfg.search.searcher = outer
    assert SearchSettings.of(cfg, 3).searcher.searcher.seed == 3
    first, second = (searched(NO_BUDGET, seed=i, work_dir=f"{i}") for i in (1, 2))
    assert first.best != second.best


def test_what_is_found_is_trained_with_the_teacher(folder: Path) -> None:
    teacher = {"type": "ToyConvNet", "width": 6, "pretrained": False}
    source = {"student": "output:last", "teacher": "output:last"}
    losses = {"kd": {"type": "KLDivergence", **source}}
    parts = {"teacher": teacher, "distiller": {"losses": losses}}
    info = searched({**{f"model.{k}": v for k, v in parts.items()}, **NO_BUDGET})
    cfg = Config.fromfile(info.retrain)
    assert cfg.model.type == "mmrazor.Compress"
    assert "search" not in cfg
    assert cfg.model_wrapper_cfg.find_unused_parameters
    model = MODELS.build(cfg.model)
    assert isinstance(model.architecture, ToyConvNet)
    assert model.teacher is not None


def written(name: str, **changes: Any) -> str:
    """Write the supernet with other candidates and return the file."""
    model = copy.deepcopy(SUPERNET)
    candidates = model["mutator"]["places"]["first"]["candidates"]
    for key, value in changes.items():
        if value is None:
            candidates.pop(key)
        else:
            candidates[key] = value
    save_supernet(name, model)
    return name


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (dict(k5=None), r"4 missing \(first.candidates.k5.bias, first.candidates.k5.w"),
        (
            dict(k7={**CONV, "kernel_size": 7, "padding": 3}),
            r"4 unexpected \(first.candidates.k7.bias, first.candidates.k7.weight, s",
        ),
        (
            dict(k1={**CONV, "kernel_size": 2}),
            r"first.candidates.k1.weight is \(8, 3, 2, 2\) in the checkpoint and",
        ),
    ],
)
def test_a_checkpoint_of_another_space(changes: dict[str, Any], match: str) -> None:
    start = "The supernet in 'toy.py' needs weights of its own search space. Checkpoint"
    with pytest.raises(RunConfigError, match=f"{start} 'other.pth' does not .*{match}"):
        search("toy.py", written("other.pth", **changes))
    # the bare architecture is taken too
    state = torch.load("supernet.pth")["state_dict"]
    prefix = "architecture."
    bare = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    torch.save(bare, "bare.pth")
    assert search("toy.py", "bare.pth").best


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"search": None},
            RunConfigError,
            "Config 'toy.py' has no 'search'. It is the",
        ),
        (
            {"search.calibrat_bn": 8},
            RunConfigError,
            "'toy.py' has 'calibrat_bn'; it may have .* Did you mean 'calibrate_bn'",
        ),
        (
            {"search": {**OTHER, "metric": "accuracy"}},
            RunConfigError,
            r"search in config 'toy.py' lacks \['searcher'\]: which Subnets",
        ),
        (
            {"search.searcher.type": "EvolutionSeeker"},
            ValueError,
            "'EvolutionSeeker' is no Searcher. There are .*'EvolutionSearcher'",
        ),
        (
            {"search.budget": {"mac": 0.5}},
            ValueError,
            "The budget has 'mac'; .* Did you mean 'macs'",
        ),
        (
            {"search.budget.macs": 5000},
            ValueError,
            "No Subnet meets the budget: macs may be 0 to 5000, and this space reaches "
            "5648 to 140816 only",
        ),
        (
            {"search.metric": "acuracy"},
            ValueError,
            r"looks for \['acuracy'\], but what is known of a Subnet is .*'accuracy'",
        ),
        (
            {"search.prefix": "backbone"},
            ValueError,
            "There is no module 'backbone' whose cost is known. Near names: .*'first'",
        ),
        (
            {"val_dataloader": None, "val_cfg": None, "val_evaluator": None},
            RunConfigError,
            "Config 'toy.py' has no val_dataloader, and Subnets are scored on it",
        ),
        (
            {"val_dataloader.dataset.length": 0},
            RunConfigError,
            "The val dataset ToyImages.* holds no samples",
        ),
        (
            {"model": {**OTHER, "type": "ToyConvNet"}},
            RunConfigError,
            "Config 'toy.py' has no search space: its model is a ToyConvNet. Search a",
        ),
        ({"odd": float("inf")}, ValueError, "for training cannot be written: 'odd' is"),
        (
            {"val_evaluator.type": "SearchedAccuracies"},
            RunConfigError,
            "which is no metric that .* knows. Near names: SearchedAccuracy",
        ),
        (
            {"search.searcher": {**OTHER, **UNREACHABLE}},
            ConnectionError,
            "The storage 'sqlite:///n/o' of the search cannot be reached",
        ),
    ],
)
def test_faults_end_it_at_once(
    folder: Path, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    if "Optuna" in str(options):
        pytest.importorskip("optuna")
    with pytest.raises(error, match=match):
        searched(options)
    # nothing that a later search would have to resume, but of a wrong metric
    assert (folder / "search.json").exists() == ("acuracy" in str(options))


def test_workers_share_a_storage() -> None:
    pytest.importorskip("optuna")
    searcher = {"type": "OptunaSearcher", "num_subnets": 5}
    searcher["storage"] = f"sqlite:///{Path.cwd() / 'shared.db'}"
    options = {"search.searcher": {**OTHER, **searcher}, **NO_BUDGET}
    first = searched(options, work_dir="first")
    second = searched(options, work_dir="second")
    assert (first.num_evaluations, second.num_evaluations) == (5, 0)
    assert second.best == first.best
    assert len(table(Path("second"))) == 0
    assert "0 evaluations of 0 different" in summary(second).renderables[1].plain


def test_an_unfinished_search_is_not_overwritten(folder: Path) -> None:
    searched(NO_BUDGET)
    before = (folder / "search.jsonl").read_text()
    match = r"toy/search.json' is the state of a search. Go on with it: --resume, or"
    with pytest.raises(FileExistsError, match=match):
        searched({**NO_BUDGET, "search.searcher.generations": 2})
    assert (folder / "search.jsonl").read_text() == before
