# DMCP (Guo et al., 2020, arXiv:2005.03354): MobileNetV2 on ImageNet, to 209 M MACs.
# Searched as ResNet-50 is, see dmcp_r50_search_8xb32-60e_in1k.py.
# python tools/train.py configs/pruning/mmcls/dmcp/dmcp_mbv2_search_8xb32-60e_in1k.py
# Expected: not measured here; README.md has what is published for such a network.
_base_ = './dmcp_r50_search_8xb32-60e_in1k.py'
model = dict(
    architecture=dict(
        cfg_path='mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'),
    pruner=dict(budget=dict(macs=209e6)))
optim_wrapper = dict(optimizer=dict(lr=0.045, weight_decay=4e-5))
