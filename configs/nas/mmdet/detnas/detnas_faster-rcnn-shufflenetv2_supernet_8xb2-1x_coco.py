# DetNAS (Chen et al., 2019, arXiv:1903.10979), step 2: train the supernet as the backbone
# of Faster R-CNN on COCO. A path trains at a time; norms are trained, synchronised over
# the processes, in backbone, neck and head.
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_shufflenetv2_supernet-pretrain_8xb128_in1k.py 8
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_faster-rcnn-shufflenetv2_supernet_8xb2-1x_coco.py 8
# Expected: no AP of its own; what is validated is one path of the supernet.
_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
]
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='mmrazor.SPOS',
    architecture=dict(
        cfg_path='mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        backbone=dict(
            _delete_=True,
            type='mmrazor.SearchableShuffleNetV2',
            out_indices=(0, 1, 2, 3),
            norm_cfg=norm_cfg,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='work_dirs/detnas_shufflenetv2_supernet-pretrain_8xb128_in1k/iter_300000.pth',
                prefix='architecture.backbone.')),
        neck=dict(norm_cfg=norm_cfg, in_channels=[64, 160, 320, 640]),
        roi_head=dict(
            bbox_head=dict(
                type='Shared4Conv1FCBBoxHead',
                conv_out_channels=256,
                norm_cfg=norm_cfg))))
randomness = dict(seed=0)
