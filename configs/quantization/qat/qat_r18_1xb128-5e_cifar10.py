# Quantization-aware training (Jacob et al., 2018, arXiv:1712.05877): a narrow ResNet-18
# on CIFAR-10 in 8 bits; ranges follow the training for 4 of its 5 epochs.
# Train the float network first.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# python tools/train.py configs/quantization/qat/qat_r18_1xb128-5e_cifar10.py
# Expected: the top-1 accuracy of the float network, or nearly; see README.md.
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
        backend='onnxruntime',
        weight=dict(
            bits=8,
            granularity='channel',
            observer=dict(type='MovingAverageObserver', momentum=1.0)),
        activation=dict(
            bits=8,
            observer=dict(type='MovingAverageObserver', momentum=0.01)),
        fold=False))
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='SGD', lr=0.005, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        T_max=5,
        end=5,
        convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=5)
custom_hooks = [
    dict(
        type='mmrazor.QuantScheduleHook', freeze_observers_at=4, freeze_bn_at=3)
]
