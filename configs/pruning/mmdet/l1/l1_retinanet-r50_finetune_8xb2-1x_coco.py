# Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710):
# RetinaNet, ResNet-50, on COCO, to half its MACs in six steps over the first
# six epochs. Stem and first stage stay as they are: mmdet freezes them.
# The dense weights are those that mmdet publishes.
# python tools/train.py configs/pruning/mmdet/l1/l1_retinanet-r50_finetune_8xb2-1x_coco.py
# Expected: not published for these settings and not measured here.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
model = dict(
    _delete_=True,
    type='mmrazor.Compress',
    architecture=dict(
        cfg_path='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', pretrained=True),
    pruner=dict(
        type='Pruner',
        importance=dict(type='L1Importance'),
        budget=dict(macs=0.5),
        divisor=8,
        min_keep=0.125,
        ignore=['backbone.conv1', 'backbone.layer1'],
        schedule=dict(
            type='CubicSchedule', begin=0, end=6, interval=1, by_epoch=True)))
