"""tools/search.py as a user runs it: killed, resumed, on two processes."""

import csv

import pytest
from toy_supernet import SEARCH, SUPERNET, save_supernet

from mmrazor.apis.run_folder import run_folder
from tests.tools.output import error

TIMED = ("seconds",)


@pytest.fixture
def search_config(toy_config, tmp_path):
    """Return a function that writes the config of a search, and the supernet."""
    save_supernet(tmp_path / "supernet.pth")

    def write(options=None, name="toy_search.py"):
        given = {
            "custom_imports.imports": ["toy_supernet"],
            "val_evaluator.type": "SearchedAccuracy",
            "search": SEARCH,
        }
        return toy_config({**given, **(options or {})}, name, model=SUPERNET)

    return write


def rows(path):
    """Return the lines of a table, without what is timed."""
    with open(path, newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIMED} for row in found]


def found_in(folder):
    files = [folder / "subnet.yaml", *sorted((folder / "subnets").glob("*"))]
    return [(file.name, file.read_text()) for file in files]


def test_search_and_train_what_was_found(search_config, run_tool, weights, tmp_path):
    tool = ("search.py", search_config(), "supernet.pth", "--work-dir", "found")
    output = run_tool(*tool, COLUMNS="160")
    found = rows(tmp_path / "found/search.csv")
    assert f"{len(found)} evaluations of {len(found)} different Subnets" in output
    for name in ("search.html", "pareto.png", "score.png", "choices.png"):
        assert f"report: found/{name}" in output
        assert (tmp_path / "found" / name).stat().st_size > 1000
    command = output.split("Next:")[1].split()
    assert command == ["python", "tools/train.py", "found/toy_search_retrain.py"]
    short = ("--cfg-options", "train_cfg.max_epochs=1", "--work-dir", "trained")
    run_tool("train.py", command[2], *short)
    trained = weights("trained/epoch_1.pth")
    best = max(found, key=lambda row: float(row["accuracy"]))
    kernels = {"k1": 1, "k3": 3, "k5": 5}
    for place in ("first", "second"):
        weight = trained[f"model {place}.weight"]
        assert weight.shape[-1] == kernels[best[f"{place}.op"]]
    assert not any("candidates" in name for name in trained)


def test_killed_and_resumed_equals_uninterrupted(search_config, run_tool, tmp_path):
    tool = ("search.py", search_config(), "supernet.pth", "--work-dir")
    run_tool(*tool, "whole")
    whole = rows(tmp_path / "whole/search.csv"), found_in(tmp_path / "whole")
    for at in (2, 6, len(whole[0])):
        folder = tmp_path / f"cut{at}"
        run_tool(*tool, folder, code=-9, TOY_KILL_AT=str(at))
        assert not (folder / "search.csv").exists()
        run_tool(*tool, folder, "--resume")
        assert (rows(folder / "search.csv"), found_in(folder)) == whole
    text = error(run_tool(*tool, "whole", code=1))
    assert "search.json' is the state of a search. Go on with it: --resume" in text


def assert_two_find_what_one_does(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert rows(two / "search.csv") == rows(one / "search.csv")
    assert found_in(two) == found_in(one)


@pytest.mark.dist
def test_two_processes_find_what_one_does(search_config, run_tool, run_ranks, tmp_path):
    tool = ("search.py", search_config(), "supernet.pth", "--work-dir")
    run_tool(*tool, "one")
    run_ranks(*tool, "two")
    assert_two_find_what_one_does(tmp_path)
    outputs = [(tmp_path / f"output{rank}.txt").read_text() for rank in "01"]
    assert ["Best Subnets" in output for output in outputs] == [True, False]


@pytest.mark.slow
@pytest.mark.dist
def test_torchrun(search_config, run_tool, free_port, tmp_path):
    given = (search_config(), "supernet.pth")
    run_tool("search.py", *given, "--work-dir", "one")
    tool = ("dist_search.sh", *given, 2, "--work-dir", "two")
    run_tool(*tool, PORT=free_port)
    assert_two_find_what_one_does(tmp_path)
    output = run_tool(*tool, PORT=free_port, code=1)
    assert "error: 'two/search.json' is the state of a search." in output
    assert "error: Rank 0 ended the search. FileExistsError" in output


def test_errors_are_one_line(toy_config, search_config, run_tool, tmp_path):
    text = error(run_tool("search.py", toy_config(), "supernet.pth", code=1))
    assert text.startswith("error: Config 'toy.py' has no 'search'.")
    text = error(run_tool("search.py", search_config(), "other.pth", code=1))
    assert "There is no checkpoint 'other.pth'. '.' holds supernet.pth." in text
    options = {"search.budget.macs": 0.01, "val_dataloader.dataset.length": 30}
    config = search_config(options)
    text = error(run_tool("search.py", config, "supernet.pth", code=1))
    assert "macs may be 0 to" in text
    assert "and this space reaches 5648 to" in text


@pytest.mark.parametrize("option", [[], ["--resume"]])
def test_a_second_search_in_the_folder_is_refused(
    search_config, run_tool, tmp_path, option
):
    tool = ("search.py", search_config(), "supernet.pth", "--work-dir", "found")
    with run_folder(tmp_path / "found"):
        text = error(run_tool(*tool, *option, code=1))
    assert "'found' is in use by another run: process" in text
    assert "--work-dir found_2" in text
    assert not (tmp_path / "found").exists()
