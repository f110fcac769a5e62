# Learned Step Size Quantization (Esser et al., 2020, arXiv:1902.08153): a narrow ResNet-18 on
# CIFAR-10, weights and activations in 4 bits, the first and the last layer in 8. Batch
# norms go on; the export folds them.
# Train the float network first.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# python tools/train.py configs/quantization/lsq/lsq_r18_w4a4_1xb128-10e_cifar10.py
# Expected: near the top-1 accuracy of the float network; see README.md.
_base_ = '../../distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py'
float_name = 'kd_r18_student_1xb128-30e_cifar10'
model = dict(
    _delete_=True,
    type='mmrazor.Quantize',
    architecture=dict(
        cfg_path='mmrazor::distill/mmcls/kd/' + float_name + '.py',
        checkpoint='work_dirs/' + float_name + '/epoch_30.pth'),
    quantizer=dict(
        type='Quantizer',
        backend='generic',
        weight=dict(type='LearnedStepSize', bits=4, granularity='tensor'),
        # With a zero point, as what is added to a shortcut has both signs; behind ReLU
        # it is 0.
        activation=dict(
            type='LearnedStepSize', bits=4, observer=dict(type='MSEObserver')),
        edges=dict(weight=dict(bits=8), activation=dict(bits=8)),
        fold=False))
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        T_max=10,
        end=10,
        convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=10)
