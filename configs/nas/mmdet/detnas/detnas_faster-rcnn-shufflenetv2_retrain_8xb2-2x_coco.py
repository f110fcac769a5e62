# DetNAS (Chen et al., 2019, arXiv:1903.10979), step 5: Faster R-CNN with the backbone that
# was found, pre-trained in step 4, on COCO.
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_shufflenetv2_supernet-pretrain_8xb128_in1k.py 8
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_faster-rcnn-shufflenetv2_supernet_8xb2-1x_coco.py 8
# bash tools/dist_search.sh configs/nas/mmdet/detnas/detnas_faster-rcnn-shufflenetv2_search_8xb2-1x_coco.py work_dirs/detnas_faster-rcnn-shufflenetv2_supernet_8xb2-1x_coco/epoch_12.pth 8
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_shufflenetv2_subnet-pretrain_8xb128_in1k.py 8
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_faster-rcnn-shufflenetv2_retrain_8xb2-2x_coco.py 8
# Expected: published AP 37.5 with a backbone of 340 M MACs; not measured here.
_base_ = './detnas_faster-rcnn-shufflenetv2_supernet_8xb2-1x_coco.py'
architecture = _base_.model.architecture
architecture.backbone.init_cfg = dict(
    type='Pretrained',
    checkpoint='work_dirs/detnas_shufflenetv2_subnet-pretrain_8xb128_in1k/iter_300000.pth',
    prefix='backbone.')
model = dict(
    _delete_=True,
    type='mmrazor.SubnetModel',
    architecture=architecture,
    mutator=dict(type='NasMutator'),
    subnet='work_dirs/detnas_faster-rcnn-shufflenetv2_search_8xb2-1x_coco/subnet.yaml')
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(
        type='MultiStepLR',
        begin=0,
        end=24,
        by_epoch=True,
        milestones=[16, 22],
        gamma=0.1)
]
train_cfg = dict(max_epochs=24)
# The backbone's last convolution is not used by a detector and gets no gradient.
model_wrapper_cfg = dict(
    type='mmrazor.AlgorithmDDP', find_unused_parameters=True)
