# Quantization-aware training (Jacob et al., 2018, arXiv:1712.05877): MobileNetV2 in 8 bits
# on ImageNet, from the weights that mmpretrain publishes.
# bash tools/dist_train.sh configs/quantization/qat/qat_mbv2_8xb32-10e_in1k.py 8
# Expected: published top-1 none, in float 71.86; not measured here.
_base_ = './qat_r18_8xb32-10e_in1k.py'
model = dict(
    architecture=dict(cfg_path='mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'))
