"""tools/train.py and tools/test.py, run as a user does."""

import json

import pytest
import torch


def test_train_prints_a_summary_and_test_repeats_the_metric(
    toy_config, run_tool, tmp_path
):
    output = run_tool("train.py", toy_config(num_workers=1))
    last = tmp_path / "work_dirs/toy/epoch_3.pth"
    assert last.is_file()
    assert "ToyModel: 18 steps" in output
    assert str(last) in output
    best = next(tmp_path.glob("work_dirs/toy/best_accuracy_*.pth"))
    assert str(best) in output

    run_tool("test.py", "toy.py", last, "--out", "metrics.json")
    tested = json.loads((tmp_path / "metrics.json").read_text())["accuracy"]
    row = next(line for line in output.splitlines() if "accuracy " in line)
    assert f"{tested:.4g}" in row


def test_algorithm_and_bare_model_take_each_other_s_checkpoints(
    toy_config, run_tool, tmp_path
):
    bare = toy_config({"train_cfg.max_epochs": 1}, name="bare.py")
    full = toy_config({"train_cfg.max_epochs": 1}, name="full.py", distil=True)
    run_tool("train.py", full)
    for config in (full, bare):
        checkpoint = "work_dirs/full/epoch_1.pth"
        run_tool("test.py", config, checkpoint, "--out", f"{config}.json")
    metrics = (tmp_path / "full.py.json").read_text()
    assert (tmp_path / "bare.py.json").read_text() == metrics

    stored = torch.load(tmp_path / checkpoint, weights_only=False)["state_dict"]
    plain = {name.removeprefix("architecture."): v for name, v in stored.items()}
    torch.save(plain, tmp_path / "plain.pth")
    run_tool("test.py", full, "plain.pth", "--out", "plain.json")
    assert (tmp_path / "plain.json").read_text() == metrics


def test_same_seed_same_weights_and_workers_do_not_matter(
    toy_config, run_tool, weights
):
    run_tool("train.py", toy_config(num_workers=0), "--work-dir", "a", "--seed", 3)
    run_tool("train.py", toy_config(num_workers=2), "--work-dir", "b", "--seed", 3)
    run_tool("train.py", toy_config(), "--work-dir", "c", "--seed", 4)
    first, second = weights("a/epoch_3.pth"), weights("b/epoch_3.pth")
    assert all(torch.equal(first[name], second[name]) for name in first)
    name = "model first.weight"
    assert not torch.equal(first[name], weights("c/epoch_3.pth")[name])


def test_options_reach_the_run(toy_config, run_tool, tmp_path):
    options = ("train_cfg.max_epochs=1", "model.dropout=0.0")
    output = run_tool(
        "train.py", toy_config(), "--work-dir", "here", "--cfg-options", *options
    )
    assert "ToyModel: 6 steps" in output
    assert "dropout=0.0" in (tmp_path / "here/toy.py").read_text()


def test_amp_on_a_cpu_is_bfloat16(toy_config, run_tool, weights):
    config = toy_config({"train_cfg.max_epochs": 1})
    run_tool("train.py", config, "--work-dir", "full")
    run_tool("train.py", config, "--work-dir", "amp", "--amp")
    full, amp = weights("full/epoch_1.pth"), weights("amp/epoch_1.pth")
    for name, tensor in full.items():
        assert amp[name].dtype == tensor.dtype, name
        torch.testing.assert_close(amp[name], tensor, rtol=0.1, atol=0.05, msg=name)
    assert not torch.equal(full["model last.weight"], amp["model last.weight"])


def test_resume_without_a_checkpoint_starts_anew(toy_config, run_tool):
    config = toy_config({"train_cfg.max_epochs": 1})
    output = run_tool("train.py", config, "--resume", "--work-dir", "new")
    assert "No checkpoint to resume from in 'new'" in output
    assert "ToyModel: 6 steps" in output


@pytest.mark.slow
@pytest.mark.dist
def test_two_processes_test_as_one_does(toy_config, run_tool, tmp_path, free_port):
    config = toy_config({"train_cfg.max_epochs": 1})
    run_tool("train.py", config, "--work-dir", "w")
    test = ("w/epoch_1.pth", "--out")
    run_tool("test.py", config, *test, "one.json")
    args = (config, test[0], 2, "--out", "two.json")
    run_tool("dist_test.sh", *args, PORT=free_port)
    assert (tmp_path / "one.json").read_text() == (tmp_path / "two.json").read_text()


@pytest.mark.dist
@pytest.mark.parametrize(
    ("accumulate", "distil"), [(1, False), (2, False), (1, True), (2, True)]
)
def test_two_processes_step_as_one_does(
    toy_config, run_tool, run_ranks, weights, accumulate, distil
):
    """Augmentation is on: a draw has the same random state whoever reads it."""
    options = {
        "model": {"type": "ToyModel", "dropout": 0.0, "frozen": True},
        "train_cfg": {"by_epoch": False, "max_iters": accumulate, "val_interval": 9},
        "optim_wrapper.accumulative_counts": accumulate,
    }
    kwargs = {"by_epoch": False, "distil": distil}
    one = toy_config(options, name="one.py", **kwargs)
    two = toy_config(options, name="two.py", world_size=2, **kwargs)
    last = f"iter_{accumulate}.pth"
    run_tool("train.py", one, "--work-dir", "one")
    run_ranks("train.py", two, "--work-dir", "two")
    first, second = weights(f"one/{last}"), weights(f"two/{last}")
    assert first.keys() == second.keys()
    assert any(name.startswith("momentum") for name in first)
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=1e-6, msg=name)


def test_print_config(toy_config, run_tool, tmp_path):
    args = ("--cfg-options", "model.dropout=0.25", "--save-path", "out/full.py")
    assert "dropout=0.25" in run_tool("print_config.py", toy_config(), *args)
    assert "dropout=0.25" in (tmp_path / "out/full.py").read_text()
