# Learning Efficient Convolutional Networks through Network Slimming
# (Liu et al., 2017, arXiv:1708.06519):
# MobileNetV2 on ImageNet, to 70 % of its MACs: 90 epochs with a penalty
# on the scales of its norms, one pruning by them, 60 epochs without the penalty.
# python tools/train.py configs/pruning/mmcls/network_slimming/network_slimming_mbv2_8xb32-150e_in1k.py
# Expected: not published for these settings and not measured here.
_base_ = './network_slimming_r50_8xb32-150e_in1k.py'
model = dict(
    architecture=dict(
        cfg_path='mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'),
    pruner=dict(budget=dict(macs=0.7)))
