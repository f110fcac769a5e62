# Channel-wise Knowledge Distillation for Dense Prediction (Shu et al., 2021,
# arXiv:2011.13256), on the class scores of GFL's head at every pyramid level.
# A narrow ResNet-18 learns from a ResNet-50 twice as wide; train the teacher first.
# python tools/train.py configs/distill/mmdet/cwd/cwd_gfl-r50-r18_distill_1xb8-12e_scenes.py
# Expected: the distilled student's row of the table in README.md.
_base_ = './cwd_gfl-r18_student_1xb8-12e_scenes.py'
folder = 'mmrazor::distill/mmdet/cwd/'
teacher_name = 'cwd_gfl-r50_teacher_1xb8-24e_scenes'
model = dict(
    _delete_=True,
    type='mmrazor.SingleTeacherDistill',
    architecture=dict(cfg_path=folder + 'cwd_gfl-r18_student_1xb8-12e_scenes.py'),
    teacher=dict(
        cfg_path=folder + teacher_name + '.py',
        checkpoint='work_dirs/' + teacher_name + '/epoch_24.pth'),
    distiller=dict(
        losses=dict(
            cwd=dict(
                type='ChannelWiseDivergence',
                tau=1.0,
                loss_weight=5.0,
                student='output:bbox_head.gfl_cls',
                teacher='output:bbox_head.gfl_cls'))))
val_cfg = dict(_delete_=True, type='mmrazor.DistillValLoop')
