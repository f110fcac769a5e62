# Group Fisher Pruning for Practical Network Compression (Liu et al., 2021,
# arXiv:2108.00708): the quickstart's teacher on Fashion-MNIST, to half its MACs: every
# 25 iterations over the first four epochs those channels go whose Fisher information
# by MAC is least; then it is trained on. Minutes on two cores. Train the dense network
# first.
# python tools/train.py configs/quickstart/teacher.py
# python tools/train.py configs/pruning/mmcls/group_fisher/group_fisher_r18_1xb128-8e_fashion_mnist.py
# Expected: the top-1 accuracy of the pruned network; see README.md.
_base_ = '../../../quickstart/teacher.py'
dense_name = 'teacher'
model = dict(
    _delete_=True,
    type='mmrazor.GroupFisher',
    architecture=dict(
        cfg_path='mmrazor::quickstart/teacher.py',
        checkpoint='work_dirs/' + dense_name + '/epoch_8.pth'),
    interval=25,
    pruner=dict(
        type='Pruner',
        importance=dict(type='FisherImportance', normalize='macs'),
        budget=dict(macs=0.5),
        schedule=dict(end=300)))
