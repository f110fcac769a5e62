"""Detectors and segmentors are calibrated through their own data pipelines."""

import pytest
import torch

from mmrazor.apis.sparsify import sparsify
from mmrazor.models.architectures import build_architecture

CONFIGS = {
    "mmdet": "mmrazor::distill/mmdet/cwd/cwd_gfl-r18_student_1xb8-12e_scenes.py",
    "mmseg": "mmrazor::distill/mmseg/cwd/cwd_pspnet-r18_student_1xb8-12e_scenes.py",
}


@pytest.mark.parametrize("host", CONFIGS)
def test_every_layer_is_reached(host, tiny_data, tmp_path, monkeypatch):
    pytest.importorskip(host)
    pytest.importorskip("mmcv._ext")
    monkeypatch.chdir(tiny_data)
    config, checkpoint = CONFIGS[host], tmp_path / "dense.pth"
    torch.manual_seed(0)
    model = build_architecture(config)
    torch.save(model.state_dict(), checkpoint)
    info = sparsify(config, checkpoint, method="wanda", calib_batches=1)
    # All but the first convolution, on three channels.
    assert [reason[-22:] for reason in info.report.dense.values()] == [
        "are not divisible by 4"
    ]
    weights = [p for p in model.parameters() if p.dim() > 1]
    assert len(info.report.layers) == len(weights) - 1
    # Random weights, correlated inputs: a narrow layer may lose more than it keeps.
    assert all(0 < layer.error < 2 for layer in info.report.layers)
