# Distilling the Knowledge in a Neural Network
# (Hinton et al., 2015, arXiv:1503.02531),
# on the logits, on CIFAR-10.
# Train the teacher first: its command is in its config.
# python tools/train.py configs/distill/mmcls/kd/kd_r34-r18_distill_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the distilled student; see README.md.
_base_ = './kd_r18_student_1xb128-30e_cifar10.py'
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
            kd=dict(
                type='KLDivergence',
                tau=4.0,
                loss_weight=1.0,
                student='output:head.fc',
                teacher='output:head.fc'))))
val_cfg = dict(_delete_=True, type='mmrazor.DistillValLoop')
