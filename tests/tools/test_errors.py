"""Faults of configs and files end in one clear line, before training starts."""

import pytest
import torch

from tests.tools.output import error


def test_unknown_config_lists_near_names(toy_config, run_tool):
    toy_config()
    text = error(run_tool("train.py", "tpy.py", code=1))
    assert text.startswith(
        "error: There is no config file 'tpy.py'. Near names: toy.py"
    )


def test_config_that_is_not_python(run_tool, tmp_path):
    (tmp_path / "broken.py").write_text("model = dict(\n")
    text = error(run_tool("train.py", "broken.py", code=1))
    assert "Config 'broken.py' cannot be read: SyntaxError" in text


def test_unknown_base_is_named(run_tool, tmp_path):
    (tmp_path / "child.py").write_text("_base_ = ['nowhere.py']\n")
    text = error(run_tool("train.py", "child.py", code=1))
    assert "child.py" in text
    assert "nowhere.py" in text


def test_unknown_model_lists_near_names(toy_config, run_tool):
    config = toy_config({"model.type": "ToyModle"})
    text = error(run_tool("train.py", config, code=1))
    assert "type='ToyModle', which is no model that 'mmengine' knows" in text
    assert "Near names: ToyModel" in text


def test_unknown_optimizer_lists_near_names(toy_config, run_tool):
    config = toy_config({"optim_wrapper.optimizer.type": "AdamWW"})
    text = error(run_tool("train.py", config, code=1))
    assert "type='AdamWW', which is no optimizer" in text
    assert "Near names: AdamW" in text


@pytest.mark.parametrize("stage", ["train", "val"])
@pytest.mark.parametrize("serialize", [True, False])
@pytest.mark.parametrize("by_epoch", [True, False])
def test_empty_dataset_says_where_it_looked(
    toy_config, run_tool, stage, serialize, by_epoch
):
    dataset = {
        "type": "ToyDataset",
        "length": 0,
        "data_root": "data/toys",
        "ann_file": "train.json",
        "serialize_data": serialize,
    }
    options = {f"{stage}_dataloader.dataset": dataset}
    config = toy_config(options, by_epoch=by_epoch)
    text = error(run_tool("train.py", config, code=1))
    assert f"The {stage} dataset ToyDataset(data_root='data/toys'" in text
    assert "train.json') holds no samples" in text
    assert "tools/prepare_data.py" in text


def test_missing_checkpoint_lists_what_is_there(toy_config, run_tool, tmp_path):
    torch.save({}, tmp_path / "epoch_9.pth")
    text = error(run_tool("test.py", toy_config(), "epoch_8.pth", code=1))
    assert text == "error: There is no checkpoint 'epoch_8.pth'. '.' holds epoch_9.pth."
    text = error(run_tool("train.py", "toy.py", "--resume", "no/a.pth", code=1))
    expected = "There is no checkpoint 'no/a.pth'. Folder 'no' does not exist."
    assert text == f"error: {expected}"


def test_checkpoint_of_another_model_is_refused(toy_config, run_tool, tmp_path):
    torch.save({"state_dict": {"conv.weight": torch.zeros(1)}}, tmp_path / "a.pth")
    text = error(run_tool("test.py", toy_config(), "a.pth", code=1))
    assert "Checkpoint 'a.pth' is not of the model in 'toy.py'" in text
    assert "lacks 8 of 8 weights, such as 'first.weight'; it has 'conv.weight'" in text
    assert "load_what_fits" not in text  # which is a key of trainings


def test_test_needs_a_test_set(toy_config, run_tool, tmp_path):
    torch.save({}, tmp_path / "a.pth")
    config = toy_config(
        {"test_dataloader": None, "test_cfg": None, "test_evaluator": None}
    )
    text = error(run_tool("test.py", config, "a.pth", code=1))
    assert "has no test_dataloader" in text


def test_launcher_needs_its_environment(toy_config, run_tool):
    text = error(run_tool("train.py", toy_config(), "--launcher", "pytorch", code=1))
    assert "launcher='pytorch' needs the environment variable 'RANK'" in text
    assert "tools/dist_train.sh" in text


def test_auto_scale_lr_needs_the_batch_size(toy_config, run_tool):
    text = error(run_tool("train.py", toy_config(), "--auto-scale-lr", code=1))
    assert "auto_scale_lr = dict(base_batch_size=...)" in text


def test_amp_keeps_a_wrapper_of_its_own(toy_config, run_tool):
    config = toy_config({"optim_wrapper.type": "ApexOptimWrapper"})
    text = error(run_tool("train.py", config, "--amp", code=1))
    assert "the config has 'ApexOptimWrapper'" in text


def content(folder):
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_run_that_does_not_start_leaves_an_earlier_one_as_it_was(
    toy_config, run_tool, tmp_path
):
    options = {"train_cfg.max_epochs": 1}
    run_tool("train.py", toy_config(options), "--work-dir", "runs/first")
    before = content(tmp_path / "runs")
    assert any(name.endswith("toy.py") for name in before)
    for fault in ("model.dropuot", "train_dataloader.dataset.lenght"):
        config = toy_config({**options, fault: 1})
        error(run_tool("train.py", config, "--work-dir", "runs/first", code=1))
        assert content(tmp_path / "runs") == before
        error(run_tool("train.py", config, "--work-dir", "runs/second/deep", code=1))
        assert content(tmp_path / "runs") == before
