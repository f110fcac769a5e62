# BRECQ (Li et al., 2021, arXiv:2102.05426): ResNet-18 on ImageNet, weights in 4 bits, the
# first and the last layer in 8, activations in float; 1024 images, 20000 steps a block.
# python tools/quantize.py configs/quantization/reconstruction/brecq_r18_w4_in1k.py
# Expected: published top-1 70.70, in float 71.08 (both of the paper); not measured here.
_base_ = '../ptq/ptq_r18_in1k.py'
model = dict(
    quantizer=dict(
        weight=dict(bits=4, observer=dict(type='MSEObserver')),
        activation=False,
        edges=dict(weight=dict(bits=8))))
quantize = dict(methods=[dict(type='BlockReconstruction', iterations=20000)])
