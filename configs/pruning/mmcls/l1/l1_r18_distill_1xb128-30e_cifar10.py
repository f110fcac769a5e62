# Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710):
# the same pruning while the network learns from a ResNet-34 of twice its width
# (KD, Hinton et al., 2015, arXiv:1503.02531). Outputs keep their size, so they can be
# distilled throughout.
# Train the dense network and the teacher first.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# python tools/train.py configs/distill/mmcls/kd/kd_r34_teacher_1xb128-30e_cifar10.py
# python tools/train.py configs/pruning/mmcls/l1/l1_r18_distill_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the pruned network; see README.md.
_base_ = './l1_r18_finetune_1xb128-30e_cifar10.py'
teacher_name = 'kd_r34_teacher_1xb128-30e_cifar10'
model = dict(
    teacher=dict(
        cfg_path='mmrazor::distill/mmcls/kd/kd_r34_teacher_1xb128-30e_cifar10.py',
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
