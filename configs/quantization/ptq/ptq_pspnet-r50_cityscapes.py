# Post-training quantization (Nagel et al., 2021, arXiv:2106.08295): PSPNet on Cityscapes
# in 8 bits, from the weights that mmseg publishes.
# python tools/quantize.py configs/quantization/ptq/ptq_pspnet-r50_cityscapes.py
# Expected: nearly the mIoU in float, 77.85 as published; not measured here.
_base_ = [
    'mmseg::_base_/datasets/cityscapes.py',
    'mmseg::_base_/schedules/schedule_80k.py',
    'mmseg::_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.Quantize',
    architecture=dict(
        cfg_path='mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py',
        pretrained=True),
    quantizer=dict(
        type='Quantizer',
        backend='onnxruntime',
        weight=dict(bits=8, granularity='channel'),
        activation=dict(bits=8, observer=dict(type='PercentileObserver')),
        image_size=[512, 1024]))
quantize = dict(calib_batches=8)
