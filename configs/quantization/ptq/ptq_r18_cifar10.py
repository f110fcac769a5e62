# Post-training quantization (Nagel et al., 2021, arXiv:2106.08295): a narrow ResNet-18
# on CIFAR-10 in 8 bits, ranges from the 99.99th percentile of activations.
# Train the float network first.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# python tools/quantize.py configs/quantization/ptq/ptq_r18_cifar10.py
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
        weight=dict(bits=8, granularity='channel'),
        activation=dict(
            bits=8, observer=dict(type='PercentileObserver', percentile=99.99))))
quantize = dict(calib_batches=4)
