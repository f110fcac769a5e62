# BRECQ (Li et al., 2021, arXiv:2102.05426): MobileNetV2 on ImageNet, as ResNet-18 beside it.
# python tools/quantize.py configs/quantization/reconstruction/brecq_mbv2_w4_in1k.py
# Expected: more than with --method ptq; in float 71.86; not measured here.
_base_ = './brecq_r18_w4_in1k.py'
model = dict(
    architecture=dict(cfg_path='mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'))
