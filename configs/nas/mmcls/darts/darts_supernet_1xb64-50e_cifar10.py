# DARTS (Liu et al., 2019, arXiv:1806.09055), second order, on CIFAR-10 with the paper's
# settings: 8 cells of 16 channels, one half of the training set for the weights and the
# other for the architecture parameters, 50 epochs of batch 64. For a GPU.
# python tools/train.py configs/nas/mmcls/darts/darts_supernet_1xb64-50e_cifar10.py
# Expected: subnet.yaml in the work folder; what is validated is the supernet.
_base_ = [
    'mmpretrain::_base_/default_runtime.py',
    '../../../_base_/datasets/cifar10.py',
]
model = dict(
    type='mmrazor.Darts',
    unroll=True,
    architecture=dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(
            type='mmrazor.DartsBackbone', num_cells=8, base_channels=16),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=10,
            in_channels=256,
            loss=dict(type='CrossEntropyLoss', loss_weight=1.0))))
half = dict(
    type='KFoldDataset',
    num_splits=2,
    seed=0,
    fold=0,
    dataset=_base_.train_dataloader.dataset)
train_dataloader = dict(batch_size=64, dataset=dict(_delete_=True, **half))
train_cfg = dict(
    type='mmrazor.BilevelLoop',
    max_epochs=50,
    val_interval=10,
    mutator_dataloader=dict(dataset=dict(test_mode=True, **half)))
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    constructor='mmrazor.SeparateOptimWrapperConstructor',
    architecture=dict(
        optimizer=dict(type='SGD', lr=0.025, momentum=0.9, weight_decay=3e-4),
        clip_grad=dict(max_norm=5.0)),
    mutator=dict(
        optimizer=dict(
            type='Adam', lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)))
param_scheduler = dict(
    architecture=[
        dict(
            type='CosineAnnealingLR',
            by_epoch=True,
            begin=0,
            end=50,
            T_max=50,
            eta_min=1e-3)
    ],
    mutator=[])
custom_hooks = [dict(type='mmrazor.DumpSubnetHook', interval=10)]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
randomness = dict(seed=0)
