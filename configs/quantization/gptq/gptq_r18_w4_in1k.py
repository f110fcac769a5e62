# GPTQ (Frantar et al., 2023, arXiv:2210.17323): ResNet-18 on ImageNet, weights in 4 bits,
# activations in float, from the weights that mmpretrain publishes.
# python tools/quantize.py configs/quantization/gptq/gptq_r18_w4_in1k.py
# Expected: more than with --method ptq; in float 69.90; not measured here.
_base_ = '../ptq/ptq_r18_in1k.py'
model = dict(
    quantizer=dict(
        weight=dict(bits=4, observer=dict(type='MSEObserver')),
        activation=False))
quantize = dict(methods=[dict(type='GPTQ', positions=64)])
