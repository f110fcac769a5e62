# DetNAS (Chen et al., 2019, arXiv:1903.10979), step 3: evolution with the supernet of the
# detector. The budget is on the backbone alone, on images of 224x224 as in the paper.
# Scored on val2017, which is what is reported in the end as well: for a comparison keep
# images of train2017 aside.
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_shufflenetv2_supernet-pretrain_8xb128_in1k.py 8
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_faster-rcnn-shufflenetv2_supernet_8xb2-1x_coco.py 8
# bash tools/dist_search.sh configs/nas/mmdet/detnas/detnas_faster-rcnn-shufflenetv2_search_8xb2-1x_coco.py work_dirs/detnas_faster-rcnn-shufflenetv2_supernet_8xb2-1x_coco/epoch_12.pth 8
# Expected: not measured here; README.md has what is published for such a network.
_base_ = [
    './detnas_faster-rcnn-shufflenetv2_supernet_8xb2-1x_coco.py',
    '../../../_base_/searches/spos_evolution.py',
]
search = dict(
    budget=dict(macs=(0, 340e6)),
    prefix='backbone',
    image_size=(224, 224),
    metric='coco/bbox_mAP',
    calibrate_bn=4096)
