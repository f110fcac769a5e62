# Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710):
# MobileNetV2 on ImageNet, to 70 % of its MACs, residual streams included,
# in ten steps over the first ten epochs. Widths are multiples of 8.
# The dense weights are those that mmpretrain publishes.
# python tools/train.py configs/pruning/mmcls/l1/l1_mbv2_finetune_8xb32-60e_in1k.py
# Expected: not published for these settings and not measured here.
_base_ = './l1_r50_finetune_8xb32-60e_in1k.py'
model = dict(
    architecture=dict(
        cfg_path='mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'),
    pruner=dict(budget=dict(macs=0.7)))
