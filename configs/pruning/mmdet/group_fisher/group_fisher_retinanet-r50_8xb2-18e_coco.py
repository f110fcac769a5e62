# Group Fisher Pruning for Practical Network Compression (Liu et al., 2021,
# arXiv:2108.00708): RetinaNet, ResNet-50, on COCO, to half its MACs: every ten
# iterations over the first six epochs those channels of backbone, neck and head go
# whose Fisher information by MAC is least, at a small learning rate; then the 1x
# schedule. No stage of the backbone is frozen. The dense weights are those that mmdet
# publishes.
# python tools/train.py configs/pruning/mmdet/group_fisher/group_fisher_retinanet-r50_8xb2-18e_coco.py
# Expected: 36.6 box AP is published, for another schedule; not measured here.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
model = dict(
    _delete_=True,
    type='mmrazor.GroupFisher',
    architecture=dict(
        cfg_path='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
        pretrained=True,
        backbone=dict(frozen_stages=-1)),
    interval=10,
    pruner=dict(
        type='Pruner',
        importance=dict(type='FisherImportance', normalize='macs'),
        budget=dict(macs=0.5),
        schedule=dict(end=43000)))
param_scheduler = [
    dict(type='ConstantLR', factor=0.1, by_epoch=True, begin=0, end=6),
    dict(
        type='MultiStepLR',
        by_epoch=True,
        begin=6,
        end=18,
        milestones=[14, 17],
        gamma=0.1),
]
train_cfg = dict(max_epochs=18)
