"""Each stage of the pipeline starts from what the stage before it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import mmrazor
from mmrazor.apis.run_config import load_config, run_config
from mmrazor.apis.runner import build_runner
from mmrazor.core.space import Subnet
from tests.configs.test_configs import write_weights

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs/combined"


def stages(pattern: str) -> dict[str, Config]:
    """Return the configs of one pipeline by stage."""
    found = sorted(FOLDER.glob(f"combined_{pattern}_*.py"))
    return {path.stem.split("_")[2]: load_config(path) for path in found}


def last_checkpoint(cfg: Config) -> str:
    stem = Path(cfg.filename).stem
    return f"work_dirs/{stem}/epoch_{cfg.train_cfg.max_epochs}.pth"


@pytest.mark.parametrize("pattern", ["r18", "r50"])
def test_a_stage_names_the_files_of_the_one_before(pattern: str) -> None:
    cfgs = stages(pattern)
    assert {"prune", "distill", "qat"} <= set(cfgs)
    pruned = f"work_dirs/{Path(cfgs['prune'].filename).stem}"
    for name in ("distill", "qat"):
        assert cfgs[name].model.architecture.subnet == f"{pruned}/subnet.yaml"
    start = cfgs["distill"].model.architecture.checkpoint
    assert start == f"{pruned}/pruned.pth"
    assert cfgs["qat"].model.architecture.checkpoint == last_checkpoint(cfgs["distill"])
    for key in ("teacher", "distiller"):
        assert cfgs["qat"].model[key] == cfgs["distill"].model[key]
    if "dense" in cfgs:
        last = last_checkpoint(cfgs["dense"])
        assert cfgs["prune"].model.architecture.checkpoint == last
        assert cfgs["qat"].model.teacher.checkpoint == last


def test_weights_and_channels_are_handed_over(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(tiny_data / "data")
    cfgs = stages("r18")
    torch.manual_seed(0)
    write_weights(cfgs["qat"].model.teacher)
    start = cfgs["distill"].model.architecture
    dense = mmrazor.build_architecture(start.architecture.cfg_path)
    inputs = mmrazor.example_inputs(dense, (32, 32))
    settings = dict(cfgs["prune"].model.pruner)
    pruned = mmrazor.prune(
        dense, inputs, settings["budget"], divisor=settings["divisor"]
    )
    assert 0.4 < pruned.cost.macs / pruned.dense_cost.macs <= 0.5
    pruned.subnet.dump(start.subnet)
    torch.save(pruned.model.state_dict(), start.checkpoint)

    student = TrainedStep(cfgs["distill"], tmp_path)
    assert Subnet.load(start.subnet).choices == pruned.subnet.choices
    for name, value in pruned.model.state_dict().items():
        assert student.before[f"architecture.{name}"].equal(value), name
    path = cfgs["qat"].model.architecture.checkpoint
    Path(path).parent.mkdir(parents=True)
    torch.save({"state_dict": student.after}, path)

    last = TrainedStep(cfgs["qat"], tmp_path)
    assert sum("quantizer.weights" in name for name in last.after) > 20
    norm = "architecture.backbone.layer2.0.downsample.1"
    scale = student.after[f"{norm}.weight"] / torch.sqrt(
        student.after[f"{norm}.running_var"] + 1e-5
    )
    name = "architecture.backbone.layer2.0.downsample.0.weight"
    # The norm behind it is folded into each output channel.
    expected = student.after[name] * scale[:, None, None, None]
    torch.testing.assert_close(last.before[name], expected)


class TrainedStep:
    """The weights of a config's model before and after a step of training."""

    def __init__(self, cfg: Config, folder: Path) -> None:
        cfg = run_config(cfg, work_dir=folder / Path(cfg.filename).stem)
        cfg.train_dataloader.update(batch_size=4)
        runner = build_runner(cfg)
        model = runner.model
        batch = next(iter(runner.build_dataloader(cfg.train_dataloader)))
        if getattr(model, "quantizer", None) is not None:
            model.calibrate_([batch])  # as its hook would
        self.before = {k: v.clone() for k, v in model.state_dict().items()}
        log = model.train_step(batch, runner.build_optim_wrapper(cfg.optim_wrapper))
        assert log["loss"].isfinite()
        assert any("distill.loss" in name for name in log)
        self.after = model.state_dict()
