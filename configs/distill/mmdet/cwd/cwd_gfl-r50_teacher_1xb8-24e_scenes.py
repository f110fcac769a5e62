# The teacher of CWD (Shu et al., 2021, arXiv:2011.13256).
# GFL with a ResNet-50 and a head, both twice as wide as the student's, trained twice as
# long on the composed scenes, from random weights, on a CPU.
# python tools/train.py configs/distill/mmdet/cwd/cwd_gfl-r50_teacher_1xb8-24e_scenes.py
# Expected: the teacher's row of the table in README.md.
_base_ = './cwd_gfl-r18_student_1xb8-12e_scenes.py'
model = dict(
    backbone=dict(depth=50, stem_channels=16, base_channels=16),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64))
train_cfg = dict(max_epochs=24, val_interval=24)
