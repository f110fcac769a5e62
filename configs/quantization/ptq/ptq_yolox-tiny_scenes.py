# Post-training quantization (Nagel et al., 2021, arXiv:2106.08295): a narrow YOLOX-tiny
# on the composed scenes in 8 bits, ranges from the 99.99th percentile of activations.
# Boxes are decoded in float.
# Train the float network first.
# python tools/train.py configs/quantization/ptq/float_yolox-tiny_1xb8-12e_scenes.py
# python tools/quantize.py configs/quantization/ptq/ptq_yolox-tiny_scenes.py
# Expected: the box AP of the float network, or nearly; see README.md.
_base_ = './float_yolox-tiny_1xb8-12e_scenes.py'
float_name = 'float_yolox-tiny_1xb8-12e_scenes'
model = dict(
    _delete_=True,
    type='mmrazor.Quantize',
    architecture=dict(
        cfg_path='mmrazor::quantization/ptq/' + float_name + '.py',
        checkpoint='work_dirs/' + float_name + '/epoch_12.pth'),
    quantizer=dict(
        type='Quantizer',
        backend='onnxruntime',
        weight=dict(bits=8, granularity='channel'),
        activation=dict(
            bits=8, observer=dict(type='PercentileObserver', percentile=99.99))))
quantize = dict(calib_batches=16)
