"""Detectors and segmentors are quantized and trained through their own pipelines."""

import pytest
import torch

from mmrazor.apis.quantize_config import quantize_config
from mmrazor.apis.run_config import run_config
from mmrazor.apis.runner import build_runner
from mmrazor.models.architectures import build_architecture

CONFIGS = {
    "mmdet": "mmrazor::distill/mmdet/cwd/cwd_gfl-r18_student_1xb8-12e_scenes.py",
    "mmseg": "mmrazor::distill/mmseg/cwd/cwd_pspnet-r18_student_1xb8-12e_scenes.py",
}


@pytest.mark.parametrize("host", CONFIGS)
def test_all_macs_are_quantized_and_train(host, tiny_data, tmp_path, monkeypatch):
    pytest.importorskip(host)
    pytest.importorskip("mmcv._ext")
    monkeypatch.chdir(tiny_data)
    config, checkpoint = CONFIGS[host], tmp_path / "float.pth"
    torch.manual_seed(0)
    model = build_architecture(config)
    model.init_weights()
    torch.save(model.state_dict(), checkpoint)
    info = quantize_config(
        config, checkpoint, calib_batches=1, onnx=False, work_dir=tmp_path
    )
    assert info.report.quantized_share == 1
    assert info.reload_difference == 0
    worst = min(layer.sqnr_db for layer in info.report.layers)
    assert info.report.sqnr_db > worst - 10
    assert all(layer.sqnr_db > 10 for layer in info.report.layers)

    cfg = run_config(info.config, work_dir=tmp_path / "run")
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    runner = build_runner(cfg)
    runner.load_or_resume()
    batch = next(iter(runner.build_dataloader(cfg.train_dataloader)))
    optim_wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    assert runner.model.quantizer.ready
    log = runner.model.train_step(batch, optim_wrapper)
    assert all(torch.isfinite(value).all() for value in log.values())
