# The teacher of CWD (Shu et al., 2021, arXiv:2011.13256).
# PSPNet with a ResNet-50 and a head, both twice as wide as the student's, trained longer
# on crops of the composed scenes, from random weights.
# python tools/train.py configs/distill/mmseg/cwd/cwd_pspnet-r50_teacher_1xb8-20e_scenes.py
# Expected: the teacher's row of the table in README.md.
_base_ = './cwd_pspnet-r18_student_1xb8-12e_scenes.py'
model = dict(
    backbone=dict(depth=50, stem_channels=16, base_channels=16),
    decode_head=dict(in_channels=512, channels=64))
train_cfg = dict(max_epochs=20, val_interval=20)
