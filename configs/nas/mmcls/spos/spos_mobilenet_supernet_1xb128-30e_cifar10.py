# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420) on CIFAR-10, on a CPU: a
# narrow MobileNetV2 space of nine places with six or seven candidates each. One part in
# 25 of the training set, 2000 images, is kept aside for the search.
# python tools/train.py configs/nas/mmcls/spos/spos_mobilenet_supernet_1xb128-30e_cifar10.py
# Expected: no accuracy of its own; what is validated is one path of the supernet.
_base_ = [
    'mmpretrain::_base_/default_runtime.py',
    '../../../_base_/datasets/cifar10.py',
    '../../../_base_/schedules/sgd_cosine.py',
]
model = dict(
    type='mmrazor.SPOS',
    architecture=dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(
            type='mmrazor.SearchableMobileNetV2',
            stages=[(16, 3, 1), (32, 3, 2), (64, 3, 2)],
            stem_channels=16,
            first_channels=16,
            last_channels=256,
            out_indices=(4, )),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=10,
            in_channels=256,
            loss=dict(type='CrossEntropyLoss', loss_weight=1.0))))
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type='KFoldDataset',
        fold=0,
        num_splits=25,
        seed=0,
        dataset=_base_.train_dataloader.dataset))
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
# A candidate is trained in one step of six or seven: less decay than usual.
optim_wrapper = dict(optimizer=dict(weight_decay=4e-5))
train_cfg = dict(val_interval=10)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
randomness = dict(seed=0)
