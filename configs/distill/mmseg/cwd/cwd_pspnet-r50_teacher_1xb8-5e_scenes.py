# The teacher of CWD (Shu et al., 2021, arXiv:2011.13256).
# PSPNet with a narrow ResNet-50 on crops of the composed scenes, from random weights.
# python tools/train.py configs/distill/mmseg/cwd/cwd_pspnet-r50_teacher_1xb8-5e_scenes.py
# Expected: the teacher's row of the table in README.md.
_base_ = './cwd_pspnet-r18_student_1xb8-5e_scenes.py'
model = dict(backbone=dict(depth=50), decode_head=dict(in_channels=512))
