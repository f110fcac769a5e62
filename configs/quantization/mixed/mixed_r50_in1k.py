# Mixed precision (ZeroQ: Cai et al., 2020, arXiv:2001.00281): ResNet-50 on ImageNet,
# weights in 8 or 4 bits, layer by layer, in 0.6 of the size in 8 bits; from the weights
# that mmpretrain publishes.
# python tools/quantize.py configs/quantization/mixed/mixed_r50_in1k.py
# Expected: more than with weights in 4 bits alone; not measured here.
_base_ = './mixed_r18_in1k.py'
model = dict(
    architecture=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'))
