"""The configs of DCFF: compact at once, within their budget, and trained a step."""

import pytest
import torch
from mmengine.config import Config

from mmrazor.apis import build_architecture
from mmrazor.apis.run_config import run_config
from mmrazor.apis.runner import build_runner
from mmrazor.core.cost import count_cost
from mmrazor.core.graph import example_inputs
from mmrazor.models.ops import FuseConv2d
from mmrazor.models.pruners import DCFFPruner
from tests.configs.test_configs import CONFIGS, SMALL, write_weights

DCFF = [path for path in CONFIGS if path.parent.name == "dcff"]


@pytest.mark.parametrize(
    "path", [path for path in DCFF if path in SMALL], ids=lambda path: path.stem
)
def test_small_config_trains_a_compact_network(path, tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_data)
    cfg = run_config(path, work_dir=tmp_path)
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    if cfg.model.get("teacher"):
        write_weights(cfg.model.teacher)
    assert "mmrazor.FuseFiltersHook" in [hook["type"] for hook in cfg.custom_hooks]
    runner = build_runner(cfg)
    model, pruner = runner.model, runner.model.pruner
    pruner.driven = True  # by this test
    inputs = example_inputs(model.architecture, pruner.image_size)
    dense = count_cost(model.architecture, inputs).macs
    model.fuse_(*model.fusing_plan())
    assert pruner.state.frozen == {}
    assert any(isinstance(module, FuseConv2d) for module in model.modules())
    loader = runner.build_dataloader(cfg.train_dataloader)
    log = model.train_step(
        next(iter(loader)), runner.build_optim_wrapper(cfg.optim_wrapper)
    )
    assert all(torch.isfinite(value).all() for value in log.values())
    model.fix_()
    left = count_cost(model.architecture, inputs).macs
    assert left == pruner.state.cost().macs
    assert 0.4 < left / dense <= cfg.model.pruner.budget.macs


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [path for path in DCFF if path not in SMALL], ids=lambda path: path.stem
)
def test_large_config_can_reach_its_budget(path):
    cfg = Config.fromfile(str(path))
    torch.manual_seed(0)
    model = build_architecture(dict(cfg.model.architecture, pretrained=False))
    if hasattr(model, "backbone"):
        model.backbone.init_cfg = None  # nothing is downloaded
    model.init_weights()  # features so small that boxes tie are no network
    settings = dict(cfg.model.pruner, budget=dict(macs=0.5), image_size=(128, 128))
    settings.pop("type")
    pruner = DCFFPruner(**settings)
    plan = pruner.plan(pruner.decide(model, 1.0))
    pruner.fuse_(model, *plan)
    state = pruner.state
    assert state.frozen == {}
    assert 0.45 < state.cost().macs / state.dense_cost().macs <= 0.5
    fused = [m for m in model.modules() if isinstance(m, FuseConv2d)]
    assert len(fused) >= 53
    assert all(m.out_channels % 8 == 0 for m in fused)
    pruner.fix_(model)
    assert not any(isinstance(m, FuseConv2d) for m in model.modules())
