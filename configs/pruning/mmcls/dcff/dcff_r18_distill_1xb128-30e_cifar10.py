# Training Compact CNNs for Image Classification using Dynamic-coded Filter Fusion
# (Lin et al., 2021, arXiv:2107.06916):
# the same compact network, which learns from a ResNet-34 of twice its width (KD, Hinton
# et al., 2015, arXiv:1503.02531). Train the teacher first.
# python tools/train.py configs/distill/mmcls/kd/kd_r34_teacher_1xb128-30e_cifar10.py
# python tools/train.py configs/pruning/mmcls/dcff/dcff_r18_distill_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the compact network; see README.md.
_base_ = './dcff_r18_1xb128-30e_cifar10.py'
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
