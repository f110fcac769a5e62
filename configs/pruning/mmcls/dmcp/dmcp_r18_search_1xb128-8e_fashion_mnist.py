# DMCP (Guo et al., 2020, arXiv:2005.03354): the quickstart's teacher on Fashion-MNIST,
# from random weights: 1 epoch at random widths, 3 epochs with Markov chains, one pruning
# to half the MACs, 4 epochs of the small network. A step runs four networks.
# python tools/train.py configs/pruning/mmcls/dmcp/dmcp_r18_search_1xb128-8e_fashion_mnist.py
# Expected: the top-1 accuracy of the pruned network; see README.md.
_base_ = '../../../quickstart/teacher.py'
model = dict(
    _delete_=True,
    type='mmrazor.DMCP',
    architecture=dict(cfg_path='mmrazor::quickstart/teacher.py'),
    pruner=dict(
        type='DMCPPruner',
        budget=dict(macs=0.5),
        schedule=dict(type='LinearSchedule', begin=1, end=4, by_epoch=True)),
    self_distiller=dict(
        losses=dict(
            kd=dict(
                type='KLDivergence',
                tau=1.0,
                student='output:head.fc',
                teacher='output:head.fc'))),
    alpha_lr=0.02)
