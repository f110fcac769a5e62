"""What the configs of pruning ask for is done: budgets, layers left alone, losses."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

from mmrazor.apis import build_architecture
from mmrazor.apis.run_config import run_config
from mmrazor.apis.runner import build_runner
from mmrazor.core.cost import count_cost
from mmrazor.core.graph import example_inputs
from mmrazor.models.pruners import Pruner
from tests.configs.test_configs import CONFIGS, SMALL, write_weights

SCHEDULED = [
    path
    for path in CONFIGS
    if path.parent.name in ("l1", "network_slimming") and "_dense_" not in path.stem
]
LARGE = [path for path in SCHEDULED if path not in SMALL]


@pytest.mark.parametrize(
    "path", [path for path in SCHEDULED if path in SMALL], ids=lambda path: path.stem
)
def test_small_config_is_pruned_to_its_budget(path, tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_data)
    cfg = run_config(path, work_dir=tmp_path)
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    for part in (cfg.model.get("teacher"), cfg.model.architecture):
        if part is not None and part.get("checkpoint"):
            write_weights(part)
    kinds = [hook["type"] for hook in cfg.custom_hooks]
    assert "mmrazor.PruningScheduleHook" in kinds
    runner = build_runner(cfg)
    model, pruner = runner.model, runner.model.pruner
    assert 0 < pruner.schedule.end < cfg.train_cfg.max_epochs
    inputs = example_inputs(model.architecture, pruner.image_size)
    dense = count_cost(model.architecture, inputs).macs
    pruner.driven = True  # by this test
    model.prepare_pruning()
    assert pruner.state.frozen == {}
    for time in range(pruner.schedule.end + 1):
        step = model.next_step(pruner.schedule.share(time), time)
        if step is not None:
            model.shrink_(step.cuts)
            pruner.take_(step.state)
    inputs = example_inputs(model.architecture, pruner.image_size)
    left = count_cost(model.architecture, inputs).macs
    assert left == pruner.state.cost().macs
    assert 0.4 < left / dense <= cfg.model.pruner.budget.macs
    loader = runner.build_dataloader(cfg.train_dataloader)
    log = model.train_step(
        next(iter(loader)), runner.build_optim_wrapper(cfg.optim_wrapper)
    )
    assert all(torch.isfinite(value).all() for value in log.values())


@pytest.mark.slow
@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_large_config_can_reach_its_budget(path):
    cfg = Config.fromfile(str(path))
    model = build_architecture(dict(cfg.model.architecture, pretrained=False))
    settings = dict(cfg.model.pruner, image_size=(128, 128))
    settings.pop("type")
    pruner = Pruner(**settings)
    torch.manual_seed(0)
    ignored = pruner.hints["ignore"]
    before = {n: p.shape for n, p in model.named_parameters()}
    step = pruner.decide(model, 1.0)
    pruner.cut_(model, step.cuts)
    cost, dense = step.state.cost(), step.state.dense_cost()
    share = cfg.model.pruner.budget.macs
    assert 0.95 * share < cost.macs / dense.macs <= share
    assert step.state.frozen == {}
    inside = [n for n in before if n.startswith(tuple(f"{m}." for m in ignored))]
    assert bool(inside) == bool(ignored)
    now = dict(model.named_parameters())
    assert all(now[name].shape == before[name] for name in inside)
