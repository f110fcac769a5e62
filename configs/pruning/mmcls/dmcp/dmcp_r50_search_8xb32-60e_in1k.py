# DMCP (Guo et al., 2020, arXiv:2005.03354): ResNet-50 on ImageNet, to 2.07 G MACs.
# 20 epochs of weights at random widths, 20 epochs of weights and Markov chains, one
# pruning to the widths that the chains expect, 20 epochs of the small network. As in the
# paper: ten levels, a tenth of every group always kept, the widest network, the narrowest
# and two random ones in every step, soft labels of the widest for the others, 0.1 as
# weight of the cost. The chains' learning rate and the lengths are this config's own.
# The paper trains the small network from random weights afterwards: see
# dmcp_r50_retrain_8xb32_in1k.py.
# python tools/train.py configs/pruning/mmcls/dmcp/dmcp_r50_search_8xb32-60e_in1k.py
# Expected: not measured here; README.md has what is published for such a network.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.DMCP',
    architecture=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'),
    pruner=dict(
        type='DMCPPruner',
        budget=dict(macs=2.07e9),
        levels=10,
        min_keep=0.1,
        schedule=dict(type='LinearSchedule', begin=20, end=40, by_epoch=True)),
    self_distiller=dict(
        losses=dict(
            kd=dict(
                type='KLDivergence',
                tau=1.0,
                student='output:head.fc',
                teacher='output:head.fc'))),
    num_samples=2,
    cost_weight=0.1,
    alpha_lr=1e-3)
param_scheduler = dict(
    _delete_=True,
    type='CosineAnnealingLR',
    by_epoch=True,
    T_max=60,
    convert_to_iter_based=True)
train_cfg = dict(max_epochs=60)
