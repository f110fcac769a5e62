"""``SubnetModel`` for what was searched: a Mutator in place of slots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mmrazor.core.graph import example_inputs
from mmrazor.core.space import Subnet
from mmrazor.models.architectures import (
    SubnetModelError,
    architecture_config,
    build_architecture,
)
from mmrazor.models.mutators import NasMutator
from tests.tiny_models import classifier, detector

pytest.importorskip("mmcv")

BACKBONE = dict(
    type="mmrazor.SearchableShuffleNetV2", repeats=[1, 2], channels=[4, 8, 16, 32]
)
KERNEL = dict(
    type="torch.nn.Conv2d",
    in_channels="{in_channels}",
    out_channels="{out_channels}",
    kernel_size=5,
    padding=2,
    bias=False,
)
PLACES = {
    "backbone.layer?.1.conv2": dict(
        type="OneShotMutableOP", candidates=dict(k3="original", k5=KERNEL)
    )
}


def searchable() -> dict[str, Any]:
    return classifier(backbone={**BACKBONE, "out_indices": [2]})


@pytest.fixture(params=["its own", "places"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Return the pieces of a searched model: config, mutator, subnet, supernet."""
    torch.manual_seed(0)
    own = request.param == "its own"
    cfg = searchable() if own else classifier()
    mutator_cfg: dict[str, Any] = dict(type="NasMutator", places={} if own else PLACES)
    mutator = NasMutator(mutator_cfg["places"])
    model = mutator(build_architecture(cfg))
    values = mutator.space.sample(np.random.default_rng(1))
    subnet = Subnet(mutator.space.fingerprint(), values)
    subnet.dump(tmp_path / "subnet.yaml")
    # as an Algorithm saves it
    state = {f"architecture.{k}": v for k, v in model.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "supernet.pth")
    fixed = mutator.fixed(model, values)
    torch.save(fixed.state_dict(), tmp_path / "subnet.pth")
    spec = dict(
        type="mmrazor.SubnetModel",
        architecture=cfg,
        mutator=mutator_cfg,
        subnet=str(tmp_path / "subnet.yaml"),
    )
    return dict(spec=spec, fixed=fixed, folder=tmp_path)


def same(a: nn.Module, b: nn.Module) -> bool:
    inputs = example_inputs(a, (64, 64))
    with torch.no_grad():
        return torch.equal(a.eval()(**inputs), b.eval()(**inputs))


@pytest.mark.parametrize("source", ["supernet", "checkpoint"])
def test_it_has_the_weights_asked_for(made: dict[str, Any], source: str) -> None:
    name = {"supernet": "supernet.pth", "checkpoint": "subnet.pth"}[source]
    model = build_architecture({**made["spec"], source: str(made["folder"] / name)})
    assert type(model).__name__ == "ImageClassifier"
    assert list(model.state_dict()) == list(made["fixed"].state_dict())
    assert same(model, made["fixed"])
    model.init_weights()
    assert same(model, made["fixed"])


def test_it_starts_from_no_weights(made: dict[str, Any]) -> None:
    model = build_architecture(made["spec"])
    assert not same(model, made["fixed"])
    assert architecture_config(made["spec"]).scope == "mmpretrain"


def test_settings_reach_the_architecture(made: dict[str, Any]) -> None:
    model = build_architecture({**made["spec"], "head": dict(num_classes=7)})
    assert model.head.fc.out_features == 7


def test_faults(made: dict[str, Any]) -> None:
    spec, folder = made["spec"], made["folder"]
    without = {k: v for k, v in spec.items() if k != "mutator"}
    with pytest.raises(SubnetModelError, match="no slots.*mutator=dict\\(type="):
        build_architecture(without)
    with pytest.raises(ValueError, match="needs the mutator that makes"):
        build_architecture({**without, "supernet": str(folder / "supernet.pth")})
    other = Subnet("0123abcd", {"op": "k3"}).dump(folder / "other.yaml")
    with pytest.raises(SubnetModelError, match="made for another space: it lacks"):
        build_architecture({**spec, "subnet": str(other)})
    with pytest.raises(SubnetModelError, match="does not fit ImageClassifier"):
        build_architecture({**spec, "supernet": str(folder / "subnet.pth")})
    cut = Subnet("0123abcd", {"op": "k3"}, slots={}).dump(folder / "cut.yaml")
    with pytest.raises(SubnetModelError, match="made by pruning. Leave the mutator"):
        build_architecture({**spec, "subnet": str(cut)})


def test_a_detector_with_a_searched_backbone() -> None:
    pytest.importorskip("mmdet")
    backbone = {**BACKBONE, "repeats": [1] * 4, "channels": [2, 4, 8, 16, 32, 8]}
    cfg = detector(backbone={**backbone, "out_indices": [0, 1, 2, 3]})
    mutator = NasMutator()
    model = mutator(build_architecture(cfg))
    inputs = example_inputs(model, (64, 64))
    costs = mutator.space_cost(model, inputs).restricted_to("backbone")
    values = mutator.space.sample(np.random.default_rng(0))
    spec = dict(
        type="mmrazor.SubnetModel",
        architecture=cfg,
        mutator=dict(type="NasMutator"),
        subnet=Subnet(mutator.space.fingerprint(), values),
    )
    fixed = build_architecture(spec)
    wanted = sum(p.numel() for p in fixed.backbone.parameters())
    assert costs.cost(values).params == wanted
    assert type(fixed).__name__ == "RetinaNet"
