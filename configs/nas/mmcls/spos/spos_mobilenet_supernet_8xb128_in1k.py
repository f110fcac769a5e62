# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420): the supernet of the MobileNetV2 space of ProxylessNAS (GPU widths)
# on ImageNet. As in the paper: 150000 steps of 1024 images, a uniform path
# in each, label smoothing 0.1. One part in 26 of the training set, about 50000 images, is
# kept aside for the search.
# bash tools/dist_train.sh configs/nas/mmcls/spos/spos_mobilenet_supernet_8xb128_in1k.py 8
# Expected: no accuracy of its own; what is validated is one path of the supernet.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64.py',
    'mmpretrain::_base_/default_runtime.py',
    '../../../_base_/schedules/spos_in1k.py',
]
model = dict(
    type='mmrazor.SPOS',
    architecture=dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type='mmrazor.SearchableMobileNetV2'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=1000,
            in_channels=1728,
            loss=dict(
                type='LabelSmoothLoss',
                mode='original',
                label_smooth_val=0.1,
                num_classes=1000),
            topk=(1, 5))))
train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        _delete_=True,
        type='KFoldDataset',
        fold=0,
        num_splits=26,
        seed=0,
        dataset=_base_.train_dataloader.dataset))
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=10000, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
