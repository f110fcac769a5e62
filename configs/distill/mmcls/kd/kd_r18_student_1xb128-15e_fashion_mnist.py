# The student of KD (Hinton et al., 2015, arXiv:1503.02531) without a teacher.
# A narrow ResNet-18 on Fashion-MNIST, from random weights.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-15e_fashion_mnist.py
# Expected: the top-1 accuracy of the student alone; see README.md.
_base_ = [
    'mmpretrain::_base_/default_runtime.py',
    '../../../_base_/datasets/fashion_mnist.py',
    '../../../_base_/models/resnet_cifar_narrow.py',
    '../../../_base_/schedules/sgd_cosine.py',
]
model = dict(backbone=dict(in_channels=1))
max_epochs = 15
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        T_max=max_epochs,
        end=max_epochs,
        convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
randomness = dict(seed=0)
