"""The configs of Group Fisher read mask gradients and can reach their budgets."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

from mmrazor.apis import build_architecture
from mmrazor.apis.run_config import run_config
from mmrazor.apis.runner import build_runner
from mmrazor.core.cost import count_cost
from mmrazor.core.graph import example_inputs
from mmrazor.core.graph.trace import tensors_in
from mmrazor.models.pruners import Pruner
from tests.configs.test_configs import CONFIGS, SMALL, write_weights

FISHER = [path for path in CONFIGS if path.parent.name == "group_fisher"]
LARGE = [path for path in FISHER if path not in SMALL]


@pytest.mark.parametrize(
    "path", [path for path in FISHER if path in SMALL], ids=lambda path: path.stem
)
def test_small_config_is_pruned_to_its_budget(path, tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_data)
    cfg = run_config(path, work_dir=tmp_path)
    assert cfg.model.pruner.schedule.end > cfg.model.interval
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    write_weights(cfg.model.architecture)
    runner = build_runner(cfg)
    model, pruner = runner.model, runner.model.pruner
    inputs = example_inputs(model.architecture, pruner.image_size)
    dense = count_cost(model.architecture, inputs).macs
    wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    wrapper.optimizer.register_step_pre_hook(lambda *_: pruner.scores.add_())
    pruner.driven = True  # by this test
    model.prepare_pruning()
    pruner.start_scoring_(model.architecture)
    loader = iter(runner.build_dataloader(cfg.train_dataloader))
    model.train_step(next(loader), wrapper)
    assert pruner.scores.refused == {}
    for name, squares in pruner.scores.sums.items():
        assert float(squares.max()) > 0, name
    step = model.next_step(1.0, pruner.schedule.end)
    model.shrink_(step.cuts)
    pruner.take_(step.state)
    assert step.state.frozen == {}
    inputs = example_inputs(model.architecture, pruner.image_size)
    left = count_cost(model.architecture, inputs).macs
    assert 0.4 < left / dense <= cfg.model.pruner.budget.macs


@pytest.mark.slow
@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_large_config_can_reach_its_budget(path):
    cfg = Config.fromfile(str(path))
    model = build_architecture(dict(cfg.model.architecture, pretrained=False))
    share = cfg.model.pruner.budget.macs
    share = share if share < 1 else 0.65  # of 319 M at the usual size
    settings = dict(cfg.model.pruner, image_size=(128, 128), budget=dict(macs=share))
    settings.pop("type")
    settings["schedule"] = {"type": "LinearSchedule", "begin": 0, "end": 1}
    pruner = Pruner(**settings)
    torch.manual_seed(0)
    assert all(parameter.requires_grad for parameter in model.parameters())
    pruner.prepare(model)
    pruner.start_scoring_(model)
    inputs = example_inputs(model, (128, 128), batch_size=2)
    outputs = model(**{**inputs, "mode": "tensor"})
    sum(tensor.square().mean() for tensor in tensors_in(outputs)).backward()
    pruner.scores.add_()
    assert pruner.scores.refused == {}
    step = pruner.decide(model, 1.0)
    cost, dense = step.state.cost(), step.state.dense_cost()
    assert 0.95 * share < cost.macs / dense.macs <= share
    assert step.state.frozen == {}
