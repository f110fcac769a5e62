# Quantization-aware training (Jacob et al., 2018, arXiv:1712.05877) with the float
# network as its teacher (Hinton et al., 2015, arXiv:1503.02531): a narrow ResNet-18 on
# CIFAR-10 in 8 bits.
# Train the float network first.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# python tools/train.py configs/quantization/qat/qat_r18_distill_1xb128-5e_cifar10.py
# Expected: no less than without the teacher; see README.md.
_base_ = './qat_r18_1xb128-5e_cifar10.py'
float_name = 'kd_r18_student_1xb128-30e_cifar10'
model = dict(
    teacher=dict(
        cfg_path='mmrazor::distill/mmcls/kd/' + float_name + '.py',
        checkpoint='work_dirs/' + float_name + '/epoch_30.pth'),
    distiller=dict(
        losses=dict(
            kd=dict(
                type='KLDivergence',
                tau=2.0,
                student='output:head.fc',
                teacher='output:head.fc'))))
