# Post-training quantization (Nagel et al., 2021, arXiv:2106.08295): MobileNetV2 on ImageNet
# in 8 bits, from the weights that mmpretrain publishes.
# python tools/quantize.py configs/quantization/ptq/ptq_mbv2_in1k.py
# Expected: published top-1 70.29, in float 71.86; not measured here.
_base_ = './ptq_r18_in1k.py'
model = dict(
    architecture=dict(cfg_path='mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'))
