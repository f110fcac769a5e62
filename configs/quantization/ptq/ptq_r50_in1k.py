# Post-training quantization (Nagel et al., 2021, arXiv:2106.08295): ResNet-50 on ImageNet
# in 8 bits, from the weights that mmpretrain publishes.
# python tools/quantize.py configs/quantization/ptq/ptq_r50_in1k.py
# Expected: published top-1 76.38, in float 76.55; not measured here.
_base_ = './ptq_r18_in1k.py'
model = dict(
    architecture=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'))
