# FitNets: Hints for Thin Deep Nets (Romero et al., 2015, arXiv:1412.6550),
# on the feature maps of the third stage, on CIFAR-10.
# Train the teacher first: its command is in its config.
# python tools/train.py configs/distill/mmcls/fitnets/fitnets_r34-r18_distill_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the distilled student; see README.md.
_base_ = '../kd/kd_r18_student_1xb128-30e_cifar10.py'
folder = 'mmrazor::distill/mmcls/kd/'
teacher_name = 'kd_r34_teacher_1xb128-30e_cifar10'
model = dict(
    _delete_=True,
    type='mmrazor.SingleTeacherDistill',
    architecture=dict(cfg_path=folder + 'kd_r18_student_1xb128-30e_cifar10.py'),
    teacher=dict(
        cfg_path=folder + teacher_name + '.py',
        checkpoint='work_dirs/' + teacher_name + '/epoch_30.pth'),
    distiller=dict(
        losses=dict(
            hint=dict(
                type='L2Loss',
                loss_weight=10.0,
                student='output:backbone.layer3',
                teacher='output:backbone.layer3',
                student_connector=dict(
                    type='ConvModuleConnector',
                    in_channels=64,
                    out_channels=128,
                    norm_cfg=dict(type='BN'))))))
val_cfg = dict(_delete_=True, type='mmrazor.DistillValLoop')
