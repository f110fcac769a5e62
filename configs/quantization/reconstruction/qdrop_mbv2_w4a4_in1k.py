# QDrop (Wei et al., 2022, arXiv:2203.05740): MobileNetV2 on ImageNet, as ResNet-18 beside it.
# python tools/quantize.py configs/quantization/reconstruction/qdrop_mbv2_w4a4_in1k.py
# Expected: more than with --method ptq; in float 71.86; not measured here.
_base_ = './qdrop_r18_w4a4_in1k.py'
model = dict(
    architecture=dict(cfg_path='mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'))
