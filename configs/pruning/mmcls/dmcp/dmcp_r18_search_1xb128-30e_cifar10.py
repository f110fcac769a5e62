# DMCP (Guo et al., 2020, arXiv:2005.03354): a narrow ResNet-18 on CIFAR-10, from random
# weights: 5 epochs at random widths, 10 epochs with Markov chains, one pruning to half the
# MACs, 15 epochs of the small network.
# python tools/train.py configs/pruning/mmcls/dmcp/dmcp_r18_search_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the pruned network; see README.md.
_base_ = '../../../distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py'
model = dict(
    _delete_=True,
    type='mmrazor.DMCP',
    architecture=dict(
        cfg_path='mmrazor::distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py'),
    pruner=dict(
        type='DMCPPruner',
        budget=dict(macs=0.5),
        schedule=dict(type='LinearSchedule', begin=5, end=15, by_epoch=True)),
    self_distiller=dict(
        losses=dict(
            kd=dict(
                type='KLDivergence',
                tau=1.0,
                student='output:head.fc',
                teacher='output:head.fc'))),
    alpha_lr=0.01)
