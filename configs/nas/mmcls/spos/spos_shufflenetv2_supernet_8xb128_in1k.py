# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420): the supernet of the ShuffleNetV2 space (20 blocks, four candidates each)
# on ImageNet. As in the paper: 150000 steps of 1024 images, a uniform path
# in each, label smoothing 0.1. One part in 26 of the training set, about 50000 images, is
# kept aside for the search.
# bash tools/dist_train.sh configs/nas/mmcls/spos/spos_shufflenetv2_supernet_8xb128_in1k.py 8
# Expected: no accuracy of its own; what is validated is one path of the supernet.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64.py',
    'mmpretrain::_base_/default_runtime.py',
    '../../../_base_/models/shufflenetv2_space_in1k.py',
    '../../../_base_/schedules/spos_in1k.py',
]
model = dict(type='mmrazor.SPOS')
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
