# Mixed precision (ZeroQ: Cai et al., 2020, arXiv:2001.00281): MobileNetV2 on ImageNet,
# weights in 8 or 4 bits, layer by layer, in 0.7 of the size in 8 bits; from the weights
# that mmpretrain publishes.
# python tools/quantize.py configs/quantization/mixed/mixed_mbv2_in1k.py
# Expected: more than with weights in 4 bits alone; not measured here.
_base_ = './mixed_r18_in1k.py'
model = dict(
    architecture=dict(cfg_path='mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'))
quantize = dict(
    methods=[
        dict(type='MixedPrecision', budget=dict(size_bytes=0.7), max_batches=4),
        dict(type='GPTQ'),
    ])
