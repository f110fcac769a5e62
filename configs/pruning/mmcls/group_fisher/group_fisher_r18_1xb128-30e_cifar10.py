# Group Fisher Pruning for Practical Network Compression (Liu et al., 2021,
# arXiv:2108.00708): a narrow ResNet-18 on CIFAR-10, to half its MACs: every 25
# iterations over the first ten epochs those channels go whose Fisher information by
# MAC is least; then it is trained on. Train the dense network first.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# python tools/train.py configs/pruning/mmcls/group_fisher/group_fisher_r18_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the pruned network; see README.md.
_base_ = '../../../distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py'
dense_name = 'kd_r18_student_1xb128-30e_cifar10'
model = dict(
    _delete_=True,
    type='mmrazor.GroupFisher',
    architecture=dict(
        cfg_path='mmrazor::distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py',
        checkpoint='work_dirs/' + dense_name + '/epoch_30.pth'),
    interval=25,
    pruner=dict(
        type='Pruner',
        importance=dict(type='FisherImportance', normalize='macs'),
        budget=dict(macs=0.5),
        schedule=dict(end=3900)))
