"""The tools on a model and a dataset of a host library."""

import cv2
import numpy as np
import pytest

CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['toy_run'])
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8,
                  drop_path_rate=0.3),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='StackedLinearClsHead', in_channels=64, mid_channels=[16],
              num_classes=2, dropout_rate=0.5,
              loss=dict(type='CrossEntropyLoss', use_soft=True)),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)))
data_preprocessor = dict(num_classes=2, mean=[127] * 3, std=[60] * 3, to_onehot=True)
train_dataloader = dict(
    batch_size=4, num_workers=2, sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='CustomDataset', data_root='images', pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='RandomCrop', crop_size=16, padding=2),
        dict(type='RandomFlip', prob=0.5),
        dict(type='ColorJitter', brightness=0.4),
        dict(type='PackInputs')]))
val_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CustomDataset', data_root='images', pipeline=[
        dict(type='LoadImageFromFile'), dict(type='PackInputs')]))
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=1)
test_evaluator = val_evaluator
train_cfg = dict(by_epoch=True, max_epochs=2)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
custom_hooks = [dict(type='mmengine.KillHook')]
randomness = dict(seed=0)
"""


@pytest.fixture
def classifier(tmp_path):
    pytest.importorskip("mmpretrain")
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(8):
            image = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "images" / name / f"{i}.png"), image)
    (tmp_path / "net.py").write_text(CONFIG)
    return "net.py"


def test_train_and_test_an_mmpretrain_model(classifier, run_tool):
    options = ("--cfg-options", "train_cfg.max_epochs=1")
    output = run_tool("train.py", classifier, *options, fresh=True)
    assert "accuracy/top1" in output
    checkpoint = "work_dirs/net/epoch_1.pth"
    assert "accuracy/top1" in run_tool("test.py", classifier, checkpoint)


@pytest.mark.slow
def test_mmpretrain_run_killed_and_resumed(classifier, run_tool, weights):
    run_tool("train.py", classifier, "--work-dir", "whole")
    run_tool("train.py", classifier, "--work-dir", "cut", code=-9, TOY_KILL_AT="6")
    output = run_tool("train.py", classifier, "--work-dir", "cut", "--resume")
    assert "resumed epoch: 1, iter: 4" in output
    whole, cut = weights("whole/epoch_2.pth"), weights("cut/epoch_2.pth")
    assert whole.keys() == cut.keys()
    assert all(whole[name].equal(cut[name]) for name in whole)


def test_missing_data_says_where_it_looked(classifier, run_tool):
    options = ("--cfg-options", "train_dataloader.dataset.data_root=nowhere")
    output = run_tool("train.py", classifier, *options, code=1)
    assert "Traceback" not in output, output
    assert "train dataset CustomDataset(data_root='nowhere')" in output
    assert "tools/prepare_data.py" in output
