# Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710):
# ResNet-50 on ImageNet, to 50 % of its MACs, residual streams included,
# in ten steps over the first ten epochs. Widths are multiples of 8.
# The dense weights are those that mmpretrain publishes.
# python tools/train.py configs/pruning/mmcls/l1/l1_r50_finetune_8xb32-60e_in1k.py
# Expected: not published for these settings and not measured here.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.Compress',
    architecture=dict(
        cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py', pretrained=True),
    pruner=dict(
        type='Pruner',
        importance=dict(type='L1Importance'),
        budget=dict(macs=0.5),
        divisor=8,
        min_keep=0.125,
        schedule=dict(
            type='CubicSchedule', begin=0, end=10, interval=1, by_epoch=True)))
optim_wrapper = dict(optimizer=dict(lr=0.02))
param_scheduler = dict(
    _delete_=True,
    type='CosineAnnealingLR',
    by_epoch=True,
    T_max=60,
    convert_to_iter_based=True)
train_cfg = dict(max_epochs=60)
