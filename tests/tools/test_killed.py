"""Runs that are killed anywhere and begun again end as one that was not."""

import json

import pytest
import torch
from compared_runs import assert_same
from conftest import pruned
from test_quickstart import comparable, tiny_data  # noqa: F401

STEPS = {"type": "CubicSchedule", "begin": 2, "end": 10, "interval": 4}
MANY = [2, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]


def hidden_in(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".mmrazor")]


def tensors(path):
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.mark.parametrize("number", MANY)
def test_pruning_while_training(
    toy_config, run_tool, weights, kill_points, tmp_path, number
):
    config = toy_config(model=pruned(STEPS), by_epoch=False)
    points = kill_points(number, "train.py", config, "--work-dir", "whole")
    whole = tmp_path / "whole"
    expected = weights("whole/iter_18.pth")
    for point in points:
        cut = tmp_path / point.replace(":", "_")
        command = ("train.py", config, "--work-dir", cut.name)
        run_tool(*command, code=-9, KILL=point)
        run_tool(*command, "--resume")
        assert_same(expected, weights(f"{cut.name}/iter_18.pth"))
        assert_same(tensors(whole / "pruned.pth"), tensors(cut / "pruned.pth"))
        names = [folder / "subnet.yaml" for folder in (whole, cut)]
        assert names[0].read_text() == names[1].read_text()
        assert hidden_in(cut) == []


@pytest.mark.parametrize("number", MANY)
def test_sensitivity(toy_config, run_tool, kill_points, tmp_path, number):
    config = toy_config(model={"type": "ToyConvNet"})
    torch.manual_seed(0)
    run_tool("train.py", config, "--work-dir", "run")
    tool = ("sensitivity.py", config, "run/epoch_3.pth", "--image-size", 8)

    def command(folder):
        return (*tool, "--out", folder)

    points = kill_points(number, *command("whole"))
    for point in points:
        cut = tmp_path / point.replace(":", "_")
        run_tool(*command(cut.name), code=-9, KILL=point)
        run_tool(*command(cut.name))
        for name in ("sensitivity.json", "state.json"):
            texts = [
                (folder / name).read_text() for folder in (tmp_path / "whole", cut)
            ]
            first, second = map(json.loads, texts)
            assert first == second
        assert (cut / "sensitivity.png").is_file()
        assert hidden_in(cut) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", MANY)
def test_quickstart(run_tool, kill_points, tmp_path, tiny_data, number):  # noqa: F811
    def command(folder):
        options = ("--short", "--data-root", tiny_data, "--work-dir", folder)
        return ("quickstart.py", *options)

    if number == 2:  # both in one run, which is begun three times
        run_tool(*command("whole"), wait=600)
        points = [["step:200", "write:120"]]
    else:
        points = [[point] for point in kill_points(number, *command("whole"))]
    whole = tmp_path / "whole"
    for kills in points:
        cut = tmp_path / kills[0].replace(":", "_")
        for kill in kills:
            run_tool(*command(cut.name), wait=600, code=-9, KILL=kill)
        run_tool(*command(cut.name), wait=600)
        first, second = (comparable(one / "results.json") for one in (whole, cut))
        assert first == second
        for name in ("teacher", "student", "distilled"):
            files = [one / "export" / f"{name}.pth" for one in (whole, cut)]
            assert_same(*map(tensors, files))
        assert hidden_in(cut) == []
