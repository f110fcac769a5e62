# The student of KD (Hinton et al., 2015, arXiv:1503.02531) without a teacher.
# A narrow ResNet-18 on CIFAR-10, from random weights.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the student alone; see README.md.
_base_ = [
    'mmpretrain::_base_/default_runtime.py',
    '../../../_base_/datasets/cifar10.py',
    '../../../_base_/models/resnet_cifar_narrow.py',
    '../../../_base_/schedules/sgd_cosine.py',
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
randomness = dict(seed=0)
