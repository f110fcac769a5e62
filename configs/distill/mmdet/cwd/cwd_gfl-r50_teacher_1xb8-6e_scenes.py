# The teacher of CWD (Shu et al., 2021, arXiv:2011.13256).
# GFL with a narrow ResNet-50 on the composed scenes, from random weights, on a CPU.
# python tools/train.py configs/distill/mmdet/cwd/cwd_gfl-r50_teacher_1xb8-6e_scenes.py
# Expected: the teacher's row of the table in README.md.
_base_ = './cwd_gfl-r18_student_1xb8-6e_scenes.py'
model = dict(
    backbone=dict(depth=50),
    neck=dict(in_channels=[64, 128, 256, 512]))
