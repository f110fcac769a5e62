# Training Compact CNNs for Image Classification using Dynamic-coded Filter Fusion
# (Lin et al., 2021, arXiv:2107.06916), applied to a detector:
# Faster R-CNN, ResNet-50, on COCO, at half its MACs from the first step on.
# The backbone starts from the ImageNet weights that the detector's config names, so the
# first temperature is such that fused filters are close to trained ones; filters change
# at once, so no stage is frozen and norms take the statistics of the batch.
# python tools/train.py configs/pruning/mmdet/dcff/dcff_faster-rcnn-r50_8xb2-1x_coco.py
# Expected: published box AP 35.8 (other settings); not measured here.
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
model = dict(
    _delete_=True,
    type='mmrazor.DCFF',
    architecture=dict(
        cfg_path='mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        backbone=dict(
            frozen_stages=-1,
            norm_eval=False,
            norm_cfg=dict(type='SyncBN', requires_grad=True))),
    pruner=dict(
        type='DCFFPruner',
        budget=dict(macs=0.5),
        divisor=8,
        temperatures=(10.0, 1e4)))
