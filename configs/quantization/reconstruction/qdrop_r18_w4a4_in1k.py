# QDrop (Wei et al., 2022, arXiv:2203.05740): ResNet-18 on ImageNet, weights and activations
# in 4 bits, the first and the last layer in 8; 1024 images, 20000 steps a block.
# python tools/quantize.py configs/quantization/reconstruction/qdrop_r18_w4a4_in1k.py
# Expected: published top-1 69.10, in float 71.06 (both of the paper); not measured here.
_base_ = '../ptq/ptq_r18_in1k.py'
model = dict(
    quantizer=dict(
        backend='generic',
        weight=dict(bits=4, observer=dict(type='MSEObserver')),
        activation=dict(bits=4, observer=dict(type='MSEObserver')),
        edges=dict(weight=dict(bits=8), activation=dict(bits=8))))
quantize = dict(
    methods=[
        dict(type='BlockReconstruction', drop_prob=0.5, iterations=20000)
    ])
