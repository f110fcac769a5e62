# Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710):
# a narrow ResNet-18 on CIFAR-10,
# to half its MACs in 10 steps over the first 10 epochs, then trained on.
# Train the dense network first.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# python tools/train.py configs/pruning/mmcls/l1/l1_r18_finetune_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the pruned network; see README.md.
_base_ = '../../../distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py'
dense_name = 'kd_r18_student_1xb128-30e_cifar10'
model = dict(
    _delete_=True,
    type='mmrazor.Compress',
    architecture=dict(
        cfg_path='mmrazor::distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py',
        checkpoint='work_dirs/' + dense_name + '/epoch_30.pth'),
    pruner=dict(
        type='Pruner',
        importance=dict(type='L1Importance'),
        budget=dict(macs=0.5),
        schedule=dict(
            type='CubicSchedule', begin=0, end=10, interval=1, by_epoch=True)))
