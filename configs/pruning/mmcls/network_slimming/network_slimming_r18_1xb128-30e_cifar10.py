# Learning Efficient Convolutional Networks through Network Slimming
# (Liu et al., 2017, arXiv:1708.06519):
# a narrow ResNet-18 on CIFAR-10, from random weights: 15 epochs with a
# penalty on the scales of its norms, one pruning by them to half the MACs,
# 15 epochs without the penalty.
# python tools/train.py configs/pruning/mmcls/network_slimming/network_slimming_r18_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the pruned network; see README.md.
_base_ = '../../../distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py'
model = dict(
    _delete_=True,
    type='mmrazor.NetworkSlimming',
    architecture=dict(
        cfg_path='mmrazor::distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py'),
    sparsity_weight=1e-4,
    pruner=dict(
        type='Pruner',
        importance=dict(type='BNScaleImportance'),
        budget=dict(macs=0.5),
        schedule=dict(
            type='LinearSchedule', begin=15, end=15, by_epoch=True)))
