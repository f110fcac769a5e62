# MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381), half as wide, on CIFAR-10 at
# 64x64: the float network that the configs beside it quantize.
# python tools/train.py configs/quantization/ptq/float_mbv2_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy in float; see README.md.
_base_ = [
    'mmpretrain::_base_/default_runtime.py',
    '../../_base_/datasets/cifar10.py',
    '../../_base_/schedules/sgd_cosine.py',
]
model = dict(
    type='ImageClassifier',
    backbone=dict(type='MobileNetV2', widen_factor=0.5),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=1280,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
randomness = dict(seed=0)
