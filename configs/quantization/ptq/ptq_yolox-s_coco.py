# Post-training quantization (Nagel et al., 2021, arXiv:2106.08295): YOLOX-s on COCO in
# 8 bits, from the weights that mmdet publishes.
# python tools/quantize.py configs/quantization/ptq/ptq_yolox-s_coco.py
# Expected: published 38.5 AP, in float 40.5; not measured here.
_base_ = 'mmdet::yolox/yolox_s_8xb8-300e_coco.py'
model = dict(
    _delete_=True,
    type='mmrazor.Quantize',
    architecture=dict(
        cfg_path='mmdet::yolox/yolox_s_8xb8-300e_coco.py', pretrained=True),
    quantizer=dict(
        type='Quantizer',
        backend='onnxruntime',
        weight=dict(bits=8, granularity='channel'),
        activation=dict(bits=8, observer=dict(type='PercentileObserver'))))
quantize = dict(calib_batches=32)
