# Quantization-aware training (Jacob et al., 2018, arXiv:1712.05877): ResNet-50 in 8 bits
# on ImageNet, from the weights that mmpretrain publishes.
# bash tools/dist_train.sh configs/quantization/qat/qat_r50_8xb32-10e_in1k.py 8
# Expected: published top-1 none, in float 76.55; not measured here.
_base_ = './qat_r18_8xb32-10e_in1k.py'
model = dict(
    architecture=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'))
