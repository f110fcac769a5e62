# Accelerating Sparse Deep Neural Networks (Mishra et al., 2021, arXiv:2104.08378):
# two of every four weights of a narrow ResNet-18 on CIFAR-10.
# Train the dense network first; its training is repeated with the zeros fixed.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# python tools/train.py configs/pruning/mmcls/semi_structured/semi_structured_r18_finetune_1xb128-30e_cifar10.py
# Expected: about the top-1 accuracy of the dense network; see README.md.
_base_ = '../../../distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py'
dense_name = 'kd_r18_student_1xb128-30e_cifar10'
model = dict(
    _delete_=True,
    type='mmrazor.Compress',
    architecture=dict(
        cfg_path='mmrazor::distill/mmcls/kd/' + dense_name + '.py',
        checkpoint='work_dirs/' + dense_name + '/epoch_30.pth'),
    pruner=dict(type='mmrazor.SemiStructuredPruner', n=2, m=4))
custom_hooks = [dict(type='mmrazor.KeepSparsityHook')]
