"""A training whose numbers turn NaN ends at once, with its last good checkpoint."""

import re

import pytest
import torch
from conftest import ROOT, pruned, start_script
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPERS
from test_dcff_training import fused
from test_dmcp_training import searched
from test_quantize_training import LSQ, QAT, quantized
from toy_supernet import SUPERNET

from mmrazor.apis.run_config import RunConfigError
from mmrazor.apis.train import train
from tests.tools.output import error

IMPORTS = ["toy_run", "toy_prune", "toy_nan", "toy_supernet"]


@HOOKS.register_module(force=True)
class SpoilWeights(Hook):
    """Spoils a weight after a step, as an optimizer with a huge rate does."""

    def __init__(self, at):
        self.at = at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.at:
            runner.model.last.weight.data[0, 0] = float("nan")


@OPTIM_WRAPPERS.register_module(force=True)
class ScaledOptimWrapper(OptimWrapper):
    """Scales losses and leaves out infinite steps, as mmengine's does on a GPU."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler("cpu", init_scale=8.0)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()


@pytest.fixture
def nan_run(toy_config, tmp_path, monkeypatch):
    """Return a function that trains a model into NaN and returns the error."""
    monkeypatch.chdir(tmp_path)

    def run(model, options=None, fails=True, **kwargs):
        given = {"default_hooks.checkpoint.max_keep_ckpts": 1, **(options or {})}
        given["custom_imports.imports"] = IMPORTS
        cfg = Config.fromfile(toy_config(given, model=model, **kwargs))
        cfg.experiment_name = tmp_path.name
        if not fails:
            train(cfg, work_dir="run")
            return ""
        with pytest.raises(RunConfigError, match="Training stopped in") as caught:
            train(cfg, work_dir="run")
        return str(caught.value)

    return run


def toy(how, at=8, **kwargs):
    return {"type": "ToyNan", "how": how, "at": at, **kwargs}


def finite(path):
    stored = torch.load(path, weights_only=False)
    states = [stored["state_dict"], stored.get("ema_state_dict", {})]
    return all(
        bool(value.isfinite().all()) for state in states for value in state.values()
    )


KINDS = {
    "layer": (toy("layer"), {}, r"8: 'loss_task' is nan; the output of 'norm2' \(Ba"),
    "term": (toy("term"), {}, r"8: 'loss_aux' is nan\. "),
    "constant": (toy("constant"), {}, r"8: 'loss_constant' is inf\. "),
    "gradient": (toy("gradient"), {}, r"8: the gradient of 'last.weight' is nan\. "),
    "statistics": (toy("statistics"), {}, r"12: 'norm.running_var' is infinite\. "),
    "weight": (
        toy("none"),
        {"custom_hooks": [{"type": "SpoilWeights", "at": 9}, {"type": "EMAHook"}]},
        r"10: 'loss_task' is nan; the output of 'last' \(Linear\).*so is its weight\. ",
    ),
    "weight, last step of an epoch": (
        toy("none"),
        {"custom_hooks": [{"type": "SpoilWeights", "at": 12}, {"type": "EMAHook"}]},
        r"12: 'last.weight' is nan\. ",
    ),
    "accumulated": (
        toy("layer"),
        {"optim_wrapper.accumulative_counts": 3},
        r"8: 'loss_task' is nan; the output of 'norm2'",
    ),
    "learning rate": (
        toy("none"),
        {"optim_wrapper.optimizer.lr": 1e38},
        r"2: 'loss_task' is nan; the output of '\w+' ",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_step_the_loss_and_the_layer_are_named(nan_run, tmp_path, kind):
    model, options, expected = KINDS[kind]
    text = nan_run(model, options)
    found = [p.name for p in (tmp_path / "run").glob("epoch_*.pth")]
    if kind == "learning rate":
        assert found == []
        assert "No checkpoint was written." in text
    else:
        assert found == ["epoch_1.pth"]
        assert finite(tmp_path / "run/epoch_1.pth")
        assert "epoch_1.pth', is kept." in text
    assert re.search(rf"stopped in iteration {expected}", text), text
    assert "stop_on_nan = False" in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("at", [10, 18])
def test_checkpoints_by_step_are_kept(nan_run, tmp_path, at):
    hooks = [{"type": "SpoilWeights", "at": at}]
    text = nan_run(toy("none"), {"custom_hooks": hooks}, by_epoch=False)
    assert f"iteration {at}: 'last.weight' is nan" in text
    kept = 6 if at == 10 else 15  # the best is sought after steps 6 and 12
    found = [p.name for p in (tmp_path / "run").glob("iter_*.pth")]
    assert found == [f"iter_{kept}.pth"]
    assert finite(tmp_path / f"run/iter_{kept}.pth")


def compressed(**parts):
    return {"type": "mmrazor.Compress", "architecture": {"type": "ToyConvNet"}, **parts}


ALGORITHMS = {
    "distilled and pruned": pruned({"type": "LinearSchedule", "begin": 1, "end": 4}),
    "SPOS": SUPERNET,
    "DMCP": searched({"type": "LinearSchedule", "begin": 1, "end": 16}),
    "DCFF": fused(),
    "QAT": quantized(QAT),
    "LSQ": quantized(LSQ),
    "sparse": compressed(pruner={"type": "SemiStructuredPruner"}),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_stops(nan_run, tmp_path, name):
    dataset = {"type": "ToyNanImages", "after": 1}
    options = {"train_dataloader.dataset": dataset}
    if name == "sparse":
        options["custom_hooks"] = [{"type": "mmrazor.KeepSparsityHook"}]
    text = nan_run(ALGORITHMS[name], options)
    assert " is nan; the batch itself holds nan or infinity. " in text
    found = sorted(p.name for p in (tmp_path / "run").glob("*.pth"))
    assert all(finite(tmp_path / "run" / one) for one in found)


def test_a_config_key_goes_on(nan_run, tmp_path):
    nan_run(toy("layer"), {"stop_on_nan": False}, fails=False)
    assert not finite(tmp_path / "run/epoch_3.pth")


@pytest.mark.parametrize("last", [10, 99])
def test_steps_that_the_scaler_leaves_out_are_no_fault(nan_run, tmp_path, last):
    options = {
        "optim_wrapper.type": "ScaledOptimWrapper",
        "train_cfg.max_epochs": 10,
        "val_cfg": None,
        "val_dataloader": None,
        "val_evaluator": None,
        "default_hooks.checkpoint.save_best": None,
        "default_hooks.checkpoint.interval": 10,
    }
    text = nan_run(toy("overflow", last=last), options, fails=last > 60)
    if last > 60:  # fifty in a row from the eighth on
        assert "iteration 57: 'loss_huge' is inf" in text
    else:
        assert finite(tmp_path / "run/epoch_10.pth")


@pytest.mark.dist
def test_both_ranks_stop(toy_config, forkserver, free_port, tmp_path):
    dataset = {"type": "ToyNanImages", "after": 1}
    options = {
        "train_dataloader.dataset": dataset,
        "custom_imports.imports": IMPORTS,
    }
    name = toy_config(options, model={"type": "ToyConvNet"}, world_size=2)
    command = [str(ROOT / "tools/train.py"), name, "--launcher", "pytorch"]
    started = []
    for rank in "01":
        env = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOG": rank}
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port}
        started.append(start_script(forkserver, command, tmp_path, env))
    texts = []
    for process, log in started:
        process.join(120)
        texts.append(log.read_text())
        assert process.exitcode == 1, texts[-1]
    where = {error(text).split(":")[1] for text in texts}
    assert len(where) == 1
    assert "Training stopped in iteration" in where.pop()
    assert sum("the batch itself" in text for text in texts) == 1
    found = sorted(p.name for p in (tmp_path / "work_dirs/toy").glob("epoch_*"))
    assert found == ["epoch_1.pth", "epoch_2.pth"]
    assert all(finite(tmp_path / "work_dirs/toy" / one) for one in found)


def test_the_tool_ends_with_one_line_and_not_with_success(toy_config, run_tool):
    options = {"custom_imports.imports": IMPORTS}
    text = error(run_tool("train.py", toy_config(options, model=toy("layer")), code=1))
    assert "Training stopped in iteration 8" in text
