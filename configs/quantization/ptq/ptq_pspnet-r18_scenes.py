# Post-training quantization (Nagel et al., 2021, arXiv:2106.08295): a narrow PSPNet on
# the composed scenes in 8 bits, ranges from the 99.99th percentile of activations.
# Maps are enlarged to the image in float.
# Train the float network first.
# python tools/train.py configs/pruning/mmseg/l1/l1_pspnet-r18_dense_1xb8-12e_scenes.py
# python tools/quantize.py configs/quantization/ptq/ptq_pspnet-r18_scenes.py
# Expected: the mIoU of the float network, or nearly; see README.md.
_base_ = '../../pruning/mmseg/l1/l1_pspnet-r18_dense_1xb8-12e_scenes.py'
float_name = 'l1_pspnet-r18_dense_1xb8-12e_scenes'
model = dict(
    _delete_=True,
    type='mmrazor.Quantize',
    architecture=dict(
        cfg_path='mmrazor::pruning/mmseg/l1/' + float_name + '.py',
        checkpoint='work_dirs/' + float_name + '/epoch_12.pth'),
    quantizer=dict(
        type='Quantizer',
        backend='onnxruntime',
        weight=dict(bits=8, granularity='channel'),
        activation=dict(
            bits=8, observer=dict(type='PercentileObserver', percentile=99.99))))
quantize = dict(calib_batches=16)
