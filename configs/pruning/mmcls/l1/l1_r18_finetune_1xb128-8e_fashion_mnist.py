# Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710):
# the quickstart's teacher on Fashion-MNIST,
# to half its MACs in 4 steps over the first 4 epochs, then trained on. Minutes on two
# cores. Train the dense network first.
# python tools/train.py configs/quickstart/teacher.py
# python tools/train.py configs/pruning/mmcls/l1/l1_r18_finetune_1xb128-8e_fashion_mnist.py
# Expected: the top-1 accuracy of the pruned network; see README.md.
_base_ = '../../../quickstart/teacher.py'
dense_name = 'teacher'
model = dict(
    _delete_=True,
    type='mmrazor.Compress',
    architecture=dict(
        cfg_path='mmrazor::quickstart/teacher.py',
        checkpoint='work_dirs/' + dense_name + '/epoch_8.pth'),
    pruner=dict(
        type='Pruner',
        importance=dict(type='L1Importance'),
        budget=dict(macs=0.5),
        schedule=dict(
            type='CubicSchedule', begin=0, end=4, interval=1, by_epoch=True)))
