# Learning Efficient Convolutional Networks through Network Slimming
# (Liu et al., 2017, arXiv:1708.06519):
# MobileNetV2 on ImageNet, to 70 % of its MACs: 90 epochs with a penalty
# on the scales of its norms, one pruning by them, 60 epochs without the penalty.
# python tools/train.py configs/pruning/mmcls/network_slimming/network_slimming_mbv2_8xb32-150e_in1k.py
# Expected: not published for these settings and not measured here.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.NetworkSlimming',
    architecture=dict(
        cfg_path='mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'),
    sparsity_weight=1e-5,
    pruner=dict(
        type='Pruner',
        importance=dict(type='BNScaleImportance'),
        budget=dict(macs=0.7),
        divisor=8,
        schedule=dict(type='LinearSchedule', begin=90, end=90, by_epoch=True)))
param_scheduler = dict(
    _delete_=True,
    type='CosineAnnealingLR',
    by_epoch=True,
    T_max=150,
    convert_to_iter_based=True)
train_cfg = dict(max_epochs=150)
