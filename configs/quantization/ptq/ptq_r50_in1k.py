# Post-training quantization (Nagel et al., 2021, arXiv:2106.08295): ResNet-50 on ImageNet
# in 8 bits, from the weights that mmpretrain publishes.
# python tools/quantize.py configs/quantization/ptq/ptq_r50_in1k.py
# Expected: published top-1 76.38, in float 76.55; not measured here.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.Quantize',
    architecture=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py', pretrained=True),
    quantizer=dict(
        type='Quantizer',
        backend='onnxruntime',
        weight=dict(bits=8, granularity='channel'),
        activation=dict(bits=8, observer=dict(type='PercentileObserver'))))
quantize = dict(calib_batches=32)
