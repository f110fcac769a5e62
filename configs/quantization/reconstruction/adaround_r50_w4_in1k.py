# AdaRound (Nagel et al., 2020, arXiv:2004.10568): ResNet-50 on ImageNet, as ResNet-18 beside it.
# python tools/quantize.py configs/quantization/reconstruction/adaround_r50_w4_in1k.py
# Expected: more than with --method ptq; in float 76.55; not measured here.
_base_ = './adaround_r18_w4_in1k.py'
model = dict(
    architecture=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'))
