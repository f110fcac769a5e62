"""What the configs of DMCP ask for is done: levels, schedule, budget."""

import pytest
import torch
from mmengine.config import Config

from mmrazor.apis import build_architecture
from mmrazor.models.algorithms import DMCP
from tests.configs.test_configs import CONFIGS, SMALL

SEARCHES = [
    path
    for path in CONFIGS
    if path.stem.startswith("dmcp_") and "_search_" in path.stem
]
PATHS = [
    pytest.param(path, id=path.stem, marks=[] if path in SMALL else pytest.mark.slow)
    for path in SEARCHES
]


@pytest.mark.parametrize("path", PATHS)
def test_the_widths_expected_are_cut_to_the_budget(path):
    cfg = Config.fromfile(str(path))
    model = build_architecture(dict(cfg.model.architecture, pretrained=False))
    settings = cfg.model.to_dict()
    settings.pop("type")
    if path in SMALL:
        settings["pruner"]["image_size"] = (32, 32)
    algorithm = DMCP(**{**settings, "architecture": model})
    pruner, chains = algorithm.pruner, algorithm.chains
    schedule = pruner.schedule
    assert 0 < schedule.begin < schedule.end < cfg.train_cfg.max_epochs
    assert chains.widths.shape[1] == 10
    for name, widths in zip(chains.names, chains.widths.tolist(), strict=True):
        size = widths[-1]
        assert widths[0] == max(1, -(-size // 10)), name
    algorithm.prepare_pruning()
    assert pruner.state.frozen == {}
    torch.manual_seed(0)
    chains.alphas.uniform_(1, 4)
    step = algorithm.next_step(1.0, schedule.end)
    cost, dense = step.state.cost().macs, step.state.dense_cost().macs
    budget = cfg.model.pruner.budget.macs
    limit = budget * dense if budget <= 1 else budget
    assert 0.95 * limit < cost <= limit < dense
