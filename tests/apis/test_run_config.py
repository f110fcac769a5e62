import copy
import os
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import get_file_backend

from mmrazor.apis.run_config import (
    RunConfigError,
    existing_checkpoint,
    latest_checkpoint,
    load_config,
    run_config,
)

HOOK = {"type": "mmrazor.RandomStateHook"}


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr("mmrazor.apis.run_config.get_device", lambda: "cpu")


@pytest.fixture
def with_gpu(monkeypatch):
    monkeypatch.setattr("mmrazor.apis.run_config.get_device", lambda: "cuda")


def small(**changes):
    optim = {"optimizer": {"type": "SGD", "lr": 0.1}}
    keys = {"train_cfg": {"by_epoch": True, "max_epochs": 1}, "optim_wrapper": optim}
    return Config({**keys, **changes})


def test_work_dir_is_named_after_the_config(tmp_path):
    (tmp_path / "net.py").write_text("model = dict(type='ToyModel')")
    assert run_config(tmp_path / "net.py").work_dir == "work_dirs/net"
    assert run_config(small(work_dir="own")).work_dir == "own"
    assert run_config(small(work_dir="own"), work_dir="given").work_dir == "given"


def test_options_of_the_call_win_over_the_file():
    cfg = small(randomness={"seed": 1, "deterministic": True}, launcher="none")
    done = run_config(cfg, seed=5, cfg_options={"optim_wrapper.optimizer.lr": 0.5})
    assert done.randomness == {"seed": 5, "deterministic": True}
    assert done.optim_wrapper.optimizer.lr == 0.5
    assert cfg.optim_wrapper.optimizer.lr == 0.1, "the config given is not changed"


def test_its_own_result_stays_as_it_is(without_gpu):
    once = run_config(small(default_scope="mmpretrain"), launcher="pytorch", amp=True)
    assert run_config(once).to_dict() == once.to_dict()


def test_exact_resume_is_added_once_and_can_be_switched_off():
    ema = {"type": "EMAHook"}
    assert run_config(small(custom_hooks=[ema])).custom_hooks == [ema, HOOK]
    assert run_config(small(custom_hooks=[HOOK])).custom_hooks == [HOOK]
    off = run_config(small(exact_resume=False))
    assert "custom_hooks" not in off
    assert "custom_hooks" not in run_config(Config({"model": {}}))


def test_checkpoints_are_whole_unless_they_go_elsewhere():
    saver = run_config(small()).default_hooks.checkpoint
    assert saver == {
        "type": "CheckpointHook",
        "interval": 1,
        "backend_args": {"backend": "mmrazor.atomic"},
    }
    remote = {"checkpoint": {"type": "CheckpointHook", "out_dir": "s3://b"}}
    kept = run_config(small(default_hooks=remote)).default_hooks.checkpoint
    assert "backend_args" not in kept


def test_atomic_backend_leaves_the_old_file_when_it_fails(tmp_path):
    backend = get_file_backend(
        str(tmp_path), backend_args={"backend": "mmrazor.atomic"}
    )
    backend.put(b"old", tmp_path / "a.pth")
    with pytest.raises(TypeError):
        backend.put("not bytes", tmp_path / "a.pth")
    assert (tmp_path / "a.pth").read_bytes() == b"old"
    backend.put_text("text", tmp_path / "b.txt")
    assert sorted(os.listdir(tmp_path)) == ["a.pth", "b.txt"]


def test_distributed_runs_use_gloo_without_a_gpu(without_gpu):
    cfg = run_config(small(), launcher="pytorch")
    assert cfg.env_cfg.dist_cfg.backend == "gloo"
    assert cfg.model_wrapper_cfg.type == "mmrazor.AlgorithmDDP"
    assert "model_wrapper_cfg" not in run_config(small())


def test_distributed_runs_use_nccl_with_a_gpu(with_gpu):
    cfg = run_config(small(env_cfg={"cudnn_benchmark": True}), launcher="slurm")
    assert cfg.env_cfg == {"cudnn_benchmark": True, "dist_cfg": {"backend": "nccl"}}
    own = small(model_wrapper_cfg={"type": "MMDistributedDataParallel"})
    assert run_config(own, launcher="mpi").model_wrapper_cfg == own.model_wrapper_cfg


def test_unknown_launcher():
    with pytest.raises(RunConfigError, match="launcher='ssh' is none of"):
        run_config(small(), launcher="ssh")


def test_amp_with_a_gpu_scales_the_loss(with_gpu):
    wrapper = run_config(small(), amp=True).optim_wrapper
    assert (wrapper.type, wrapper.loss_scale) == ("AmpOptimWrapper", "dynamic")


def test_amp_without_a_gpu(without_gpu):
    wrapper = run_config(small(), amp=True).optim_wrapper
    assert wrapper.type == "mmrazor.CpuAmpOptimWrapper"


def test_amp_needs_an_optimizer():
    with pytest.raises(RunConfigError, match="amp needs"):
        run_config(Config({"model": {}}), amp=True)


def test_loaders_of_mmpretrain_are_set_as_its_tools_set_them(without_gpu):
    cfg = small(default_scope="mmpretrain", train_dataloader={"num_workers": 2})
    assert run_config(cfg).train_dataloader == {
        "num_workers": 2,
        "collate_fn": {"type": "default_collate"},
        "pin_memory": False,
        "persistent_workers": True,
    }
    other = small(default_scope="mmdet", train_dataloader={"num_workers": 2})
    assert run_config(other).train_dataloader == {"num_workers": 2}


def test_auto_scale_lr():
    cfg = run_config(small(auto_scale_lr={"base_batch_size": 8}), auto_scale_lr=True)
    assert cfg.auto_scale_lr == {"base_batch_size": 8, "enable": True}
    with pytest.raises(RunConfigError, match="base_batch_size"):
        run_config(small(), auto_scale_lr=True)


def touch(path, age=0.0):
    path.write_bytes(b"x")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_latest_checkpoint(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    newest = touch(tmp_path / "epoch_2.pth")
    older = touch(tmp_path / "epoch_10.pth", age=60)
    touch(tmp_path / "teacher.pth")
    assert latest_checkpoint(tmp_path) == newest
    # The note of mmengine's CheckpointHook decides, also when the folder has moved.
    (tmp_path / "last_checkpoint").write_text("elsewhere/epoch_10.pth")
    assert latest_checkpoint(tmp_path) == older
    (tmp_path / "last_checkpoint").write_text("")
    assert latest_checkpoint(tmp_path) == newest


def test_resume_takes_a_path_or_the_newest(tmp_path):
    path = touch(tmp_path / "iter_4.pth")
    for resume in (True, "auto", path):
        cfg = run_config(small(work_dir=str(tmp_path)), resume=resume)
        assert (cfg.resume, cfg.load_from) == (True, str(path))
    cfg = run_config(small(work_dir=str(tmp_path / "new")), resume=True)
    assert cfg.resume is False
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        run_config(small(), resume=tmp_path / "iter_5.pth")


def test_existing_checkpoint(tmp_path):
    touch(tmp_path / "a.pth")
    assert existing_checkpoint("https://host/a.pth") == "https://host/a.pth"
    with pytest.raises(FileNotFoundError, match=r"holds a\.pth"):
        existing_checkpoint(tmp_path / "b.pth")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        existing_checkpoint(Path("nowhere/b.pth"))


def test_configs_of_installed_libraries_are_found():
    pytest.importorskip("mmpretrain")
    cfg = load_config("mmpretrain::resnet/resnet18_8xb32_in1k.py")
    assert cfg.model.backbone.depth == 18
    done = run_config("mmpretrain::resnet/resnet18_8xb32_in1k.py")
    assert done.work_dir == "work_dirs/resnet18_8xb32_in1k"
    assert done.train_dataloader.persistent_workers
    with pytest.raises(FileNotFoundError, match="resnet18_8xb32_in1k"):
        load_config("mmpretrain::resnet/resnet18_8xb32_in1kk.py")


@pytest.mark.parametrize("config", [Config(), Config({"search": {"budget": {}}})])
def test_changes_stay_as_they_are(config: Config) -> None:
    search = {"budget": {"macs": 0.5}}
    changes = {"search": search, "search.budget.macs": 0.1, "search.metric": "top1"}
    given = copy.deepcopy(changes)
    cfg = load_config(config, changes)
    assert cfg.search == {"budget": {"macs": 0.1}, "metric": "top1"}
    assert changes == given
    cfg.search.budget.macs = 0.2
    assert search == {"budget": {"macs": 0.5}}


def test_bfloat16_wrapper_refuses_other_types():
    from mmrazor.core.optim_wrapper import CpuAmpOptimWrapper

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    CpuAmpOptimWrapper(optimizer=optimizer, loss_scale="dynamic", dtype="bfloat16")
    with pytest.raises(ValueError, match="needs dtype='bfloat16', got 'float16'"):
        CpuAmpOptimWrapper(optimizer=optimizer, dtype="float16")


def test_bases_of_ours_are_built_by_the_run_s_scope(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "_base_ = ['mmrazor::_base_/datasets/scenes_detection.py']\n"
        "default_scope = 'mmdet'\n"
    )
    cfg = load_config(file)
    assert cfg.val_evaluator.type == "CocoMetric"
    assert "'mmrazor'" not in cfg.pretty_text
