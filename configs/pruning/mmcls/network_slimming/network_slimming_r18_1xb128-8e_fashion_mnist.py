# Learning Efficient Convolutional Networks through Network Slimming
# (Liu et al., 2017, arXiv:1708.06519):
# the quickstart's teacher on Fashion-MNIST, from random weights: 4 epochs with a
# penalty on the scales of its norms, one pruning by them to half the MACs,
# 4 epochs without the penalty. Minutes on two cores.
# python tools/train.py configs/pruning/mmcls/network_slimming/network_slimming_r18_1xb128-8e_fashion_mnist.py
# Expected: the top-1 accuracy of the pruned network; see README.md.
_base_ = '../../../quickstart/teacher.py'
model = dict(
    _delete_=True,
    type='mmrazor.NetworkSlimming',
    architecture=dict(cfg_path='mmrazor::quickstart/teacher.py'),
    sparsity_weight=1e-4,
    pruner=dict(
        type='Pruner',
        importance=dict(type='BNScaleImportance'),
        budget=dict(macs=0.5),
        schedule=dict(
            type='LinearSchedule', begin=4, end=4, by_epoch=True)))
