"""A searched model is exported as the plain network that it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmrazor.apis.export import export_model
from mmrazor.apis.infer import init_model
from mmrazor.core.graph import example_inputs
from mmrazor.core.space import Subnet
from mmrazor.models.architectures import build_architecture
from mmrazor.models.mutators import NasMutator
from tests.tiny_models import classifier

pytest.importorskip("mmcv")

CONV = dict(
    type="torch.nn.Conv2d",
    in_channels="{in_channels}",
    out_channels="{out_channels}",
    bias=False,
)
# Not in alphabetical order, which would be another space.
CANDIDATES = dict(
    k5=dict(**CONV, kernel_size=5, padding=2),
    k3="original",
    k1=dict(**CONV, kernel_size=1),
)
PLACES = {
    "backbone.layer?.1.conv2": dict(
        type="mmrazor.OneShotMutableOP", candidates=CANDIDATES
    )
}
OWN = dict(
    type="mmrazor.SearchableShuffleNetV2",
    repeats=[1, 2],
    channels=[4, 8, 16, 32],
    out_indices=[2],
)


@pytest.mark.parametrize("own", [True, False])
def test_files_build_the_trained_network(own: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    architecture = classifier(backbone=OWN) if own else classifier()
    mutator_cfg: dict[str, Any] = dict(type="NasMutator", places={} if own else PLACES)
    mutator = NasMutator(mutator_cfg["places"])
    supernet = mutator(build_architecture(architecture))
    values = mutator.space.sample(np.random.default_rng(1))
    Subnet(mutator.space.fingerprint(), values).dump(tmp_path / "subnet.yaml")
    trained = mutator.fixed(supernet, values).eval()
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "trained.pth")
    cfg = Config(
        dict(
            default_scope="mmpretrain",
            model=dict(
                type="mmrazor.SubnetModel",
                architecture=architecture,
                mutator=mutator_cfg,
                subnet=str(tmp_path / "subnet.yaml"),
            ),
        )
    )
    out = tmp_path / "out"
    info = export_model(
        cfg, tmp_path / "trained.pth", out, image_size=(64, 64), onnx=not own
    )
    assert info.subnet == out / "model_subnet.yaml"
    (tmp_path / "subnet.yaml").unlink()  # the files stand alone
    content = torch.load(info.checkpoint, weights_only=True)
    assert list(content["state_dict"]) == list(trained.state_dict())
    assert not any("candidates" in key for key in content["state_dict"])
    assert "a searched model; needs" in info.config.read_text().splitlines()[0]
    again = init_model(info.config, info.checkpoint, device="cpu")
    inputs = example_inputs(trained, (64, 64))
    with torch.no_grad():
        assert torch.equal(again(**inputs), trained(**inputs))
