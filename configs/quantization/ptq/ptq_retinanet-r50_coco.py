# Post-training quantization (Nagel et al., 2021, arXiv:2106.08295): RetinaNet on COCO in
# 8 bits, from the weights that mmdet publishes. Boxes are decoded in float.
# python tools/quantize.py configs/quantization/ptq/ptq_retinanet-r50_coco.py
# Expected: published 36.3 AP, in float 36.5; not measured here.
_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.Quantize',
    architecture=dict(
        cfg_path='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', pretrained=True),
    quantizer=dict(
        type='Quantizer',
        backend='onnxruntime',
        weight=dict(bits=8, granularity='channel'),
        activation=dict(bits=8, observer=dict(type='PercentileObserver'))))
quantize = dict(calib_batches=32)
