"""The supernets of SPOS and ProxylessNAS."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mmrazor.core.cost import count_cost
from mmrazor.models.architectures import (
    SearchableMobileNetV2,
    SearchableShuffleNetV2,
)
from mmrazor.models.mutators import NasMutator

IMAGE = torch.rand(2, 3, 32, 32)
SMALL = [
    dict(type=SearchableShuffleNetV2, repeats=[2, 1], channels=[4, 8, 16, 24]),
    dict(type=SearchableMobileNetV2, stages=[(8, 2, 2), (12, 2, 1)], last_channels=24),
]
SPOS = [0, 0, 3, 1, 1, 1, 0, 0, 2, 0, 2, 1, 1, 0, 2, 0, 2, 1, 3, 2]
PROXYLESS_GPU = [
    *("mb_k5_e3", "identity", "identity", "identity"),
    *("mb_k7_e3", "mb_k3_e3", "identity", "identity"),
    *("mb_k7_e6", "mb_k5_e3", "identity", "identity"),
    *("mb_k5_e6", "mb_k3_e3", "mb_k5_e3", "identity"),
    *("mb_k7_e6", "mb_k7_e6", "mb_k7_e6", "mb_k5_e6"),
    "mb_k7_e6",
]


class Classifier(nn.Module):
    def __init__(self, backbone: nn.Module, channels: int, bias: bool = True) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(channels, 1000, bias)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc(self.backbone(image)[-1].mean((2, 3)))


def small(cfg: dict, **more: object) -> nn.Module:
    last = len(cfg.get("repeats", [*cfg.get("stages", []), 0]))
    options = {"out_indices": [last], **cfg, **more}
    return options.pop("type")(**options)


@pytest.fixture(scope="module", params=SMALL, ids=["shuffle", "mobile"])
def searched(request: pytest.FixtureRequest):
    torch.manual_seed(0)
    mutator = NasMutator()
    model = mutator(Classifier(small(request.param), 24)).eval()
    return model, mutator, mutator.space_cost(model, IMAGE)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_every_subnet_runs_alone_and_costs_what_is_told(searched, seed: int) -> None:
    model, mutator, costs = searched
    values = mutator.space.sample(np.random.default_rng(seed))
    mutator.space.select_(values)
    fixed = mutator.fixed(model, values)
    with torch.no_grad():
        assert torch.equal(model(IMAGE), fixed(IMAGE))
    real = count_cost(fixed, IMAGE)
    assert costs.cost(values).macs == real.macs
    assert costs.cost(values).params == real.params
    assert costs.uncounted == {}


def test_the_subnet_that_spos_released() -> None:
    """The architecture of the release; its classifier has no bias.

    The numbers are this implementation's count (319M, 3.35M); they hold it in place.
    """
    kinds = ["shuffle_3x3", "shuffle_5x5", "shuffle_7x7", "shuffle_xception"]
    mutator = NasMutator()
    model = mutator(Classifier(SearchableShuffleNetV2(), 1024, bias=False))
    assert mutator.space.size() == 4**20
    assert next(iter(mutator.space)) == "backbone.layers.0.0.op"
    named = zip(mutator.space, SPOS, strict=True)
    fixed = mutator.fixed(model, {name: kinds[i] for name, i in named})
    cost = count_cost(fixed, torch.zeros(1, 3, 224, 224))
    assert (cost.macs, cost.params) == (318_729_024, 3_345_088)


def test_proxyless_gpu() -> None:
    """Cells from memory of the paper's figure 4, not copied from it.

    Of three readings this is the one that has the 7.12M parameters given elsewhere, so
    the count supports the reading and is no independent proof of the block.
    """
    mutator = NasMutator()
    model = mutator(Classifier(SearchableMobileNetV2(), 1728))
    assert mutator.space.size() == 6**6 * 7**15
    values = dict(zip(mutator.space, PROXYLESS_GPU, strict=True))
    cost = count_cost(mutator.fixed(model, values), torch.zeros(1, 3, 224, 224))
    assert (cost.macs, cost.params) == (465_260_160, 7_119_848)


@pytest.mark.parametrize("cfg", SMALL, ids=["shuffle", "mobile"])
def test_outputs_for_detectors_frozen_stages_and_norms(cfg: dict) -> None:
    net = small(cfg, out_indices=[0, 1], frozen_stages=1, norm_eval=True)
    net.init_weights()
    net.train()
    outs = net(IMAGE)
    assert [out.shape[1] for out in outs] == ([8, 16] if cfg is SMALL[0] else [24, 8])
    still = [net.conv1, net.layers[0]]
    assert not any(p.requires_grad for m in still for p in m.parameters())
    assert all(p.requires_grad for p in net.layers[1].parameters())
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)


@pytest.mark.parametrize("cfg", SMALL, ids=["shuffle", "mobile"])
def test_wrong_stages(cfg: dict) -> None:
    with pytest.raises(ValueError, match="must be some of the stages 0 to"):
        small(cfg, out_indices=[9])
    with pytest.raises(ValueError, match="frozen_stages=9 must be from -1"):
        small(cfg, frozen_stages=9)


def test_wrong_channels() -> None:
    with pytest.raises(ValueError, match="must be 4: of the stem, of each of the 2"):
        SearchableShuffleNetV2([1, 1], [4, 8, 16])
