# The teacher of KD and FitNets.
# A ResNet-34 of twice the student's width on CIFAR-10, from random weights.
# python tools/train.py configs/distill/mmcls/kd/kd_r34_teacher_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the teacher; see README.md.
_base_ = './kd_r18_student_1xb128-30e_cifar10.py'
model = dict(
    backbone=dict(depth=34, stem_channels=32, base_channels=32),
    head=dict(in_channels=256))
