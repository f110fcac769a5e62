# DARTS (Liu et al., 2019, arXiv:1806.09055): the cells that the search found in a network
# of 20 cells of 36 channels, from random weights on CIFAR-10, with the paper's settings:
# 600 epochs of batch 96, cutout, drop path that rises to 0.2, an auxiliary classifier.
# For a GPU. The authors' own cells:
# --cfg-options model.subnet=configs/nas/mmcls/darts/darts_v2.yaml
# python tools/train.py configs/nas/mmcls/darts/darts_supernet_1xb64-50e_cifar10.py
# python tools/train.py configs/nas/mmcls/darts/darts_retrain_1xb96-600e_cifar10.py
# Expected: published top-1 97.24 (second order); not measured here.
_base_ = [
    'mmpretrain::_base_/default_runtime.py',
    '../../../_base_/datasets/cifar10.py',
]
head = dict(
    type='mmpretrain.LinearClsHead',
    num_classes=10,
    loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0))
model = dict(
    type='mmrazor.SubnetModel',
    architecture=dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(
            type='mmrazor.DartsBackbone',
            num_cells=20,
            base_channels=36,
            affine=True,
            drop_path=0.2,
            auxiliary=True),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='mmrazor.DartsHead',
            head=dict(in_channels=576, **head),
            aux_head=dict(in_channels=768, **head),
            aux_weight=0.4)),
    mutator=dict(type='NasMutator'),
    subnet='work_dirs/darts_supernet_1xb64-50e_cifar10/subnet.yaml')
# Cutout fills with the mean, in the order BGR in which images are loaded.
train_dataloader = dict(
    batch_size=96,
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomCrop', crop_size=32, padding=4),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='Cutout', shape=16, pad_val=(114, 123, 125), prob=1.0),
            dict(type='PackInputs'),
        ]))
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.025, momentum=0.9, weight_decay=3e-4),
    clip_grad=dict(max_norm=5.0))
param_scheduler = dict(
    type='CosineAnnealingLR', by_epoch=True, begin=0, end=600, T_max=600)
train_cfg = dict(by_epoch=True, max_epochs=600, val_interval=10)
val_cfg = dict()
test_cfg = dict()
custom_hooks = [dict(type='mmrazor.AnnealHook', by_epoch=True)]
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=2))
randomness = dict(seed=0)
