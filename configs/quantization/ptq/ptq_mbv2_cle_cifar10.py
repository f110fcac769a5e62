# Cross-layer equalization and bias correction (Nagel et al., 2019, arXiv:1906.04721):
# MobileNetV2 on CIFAR-10 in 8 bits, with one scale for all channels of a weight, where
# the ranges of depthwise convolutions differ most.
# Train the float network first.
# python tools/train.py configs/quantization/ptq/float_mbv2_1xb128-30e_cifar10.py
# python tools/quantize.py configs/quantization/ptq/ptq_mbv2_cle_cifar10.py
# Expected: far more than with --method ptq; see README.md.
_base_ = './float_mbv2_1xb128-30e_cifar10.py'
float_name = 'float_mbv2_1xb128-30e_cifar10'
model = dict(
    _delete_=True,
    type='mmrazor.Quantize',
    architecture=dict(
        cfg_path='mmrazor::quantization/ptq/' + float_name + '.py',
        checkpoint='work_dirs/' + float_name + '/epoch_30.pth'),
    quantizer=dict(
        type='Quantizer',
        backend='onnxruntime',
        weight=dict(bits=8, granularity='tensor')))
quantize = dict(
    methods=[dict(type='CrossLayerEqualization'), dict(type='BiasCorrection')],
    calib_batches=4)
