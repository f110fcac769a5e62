# AdaRound (Nagel et al., 2020, arXiv:2004.10568): ResNet-18 on ImageNet, weights in 4 bits
# with one scale for a whole weight, activations in float; 1024 images, 10000 steps a layer.
# python tools/quantize.py configs/quantization/reconstruction/adaround_r18_w4_in1k.py
# Expected: published top-1 68.71, in float 69.68 (both of the paper); not measured here.
_base_ = '../ptq/ptq_r18_in1k.py'
model = dict(
    quantizer=dict(
        weight=dict(
            bits=4, granularity='tensor', observer=dict(type='MSEObserver')),
        activation=False))
quantize = dict(methods=[dict(type='AdaRound', iterations=10000)])
