# Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710):
# PSPNet, ResNet-50, on Cityscapes, to half its MACs in ten steps over the first 20000
# iterations; the auxiliary head, which runs in training alone, is cut alike.
# The dense weights are those that mmseg publishes.
# python tools/train.py configs/pruning/mmseg/l1/l1_pspnet-r50_finetune_4xb2-80k_cityscapes.py
# Expected: not published for these settings and not measured here.
_base_ = 'mmseg::pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py'
model = dict(
    _delete_=True,
    type='mmrazor.Compress',
    architecture=dict(
        cfg_path='mmseg::pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py',
        pretrained=True),
    pruner=dict(
        type='Pruner',
        importance=dict(type='L1Importance'),
        budget=dict(macs=0.5),
        divisor=8,
        min_keep=0.125,
        # The training crop: a test image has four times its pixels.
        image_size=(512, 1024),
        schedule=dict(
            type='CubicSchedule', begin=0, end=20000, interval=2000)))
