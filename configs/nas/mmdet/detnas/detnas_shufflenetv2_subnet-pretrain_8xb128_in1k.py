# DetNAS (Chen et al., 2019, arXiv:1903.10979), step 4: pre-train the backbone that was
# found on ImageNet, from random weights. The Subnet of the detector names the same
# Choices as the classifier's: those of the backbone.
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_shufflenetv2_supernet-pretrain_8xb128_in1k.py 8
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_faster-rcnn-shufflenetv2_supernet_8xb2-1x_coco.py 8
# bash tools/dist_search.sh configs/nas/mmdet/detnas/detnas_faster-rcnn-shufflenetv2_search_8xb2-1x_coco.py work_dirs/detnas_faster-rcnn-shufflenetv2_supernet_8xb2-1x_coco/epoch_12.pth 8
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_shufflenetv2_subnet-pretrain_8xb128_in1k.py 8
# Expected: the weights that step 5 begins with.
_base_ = './detnas_shufflenetv2_supernet-pretrain_8xb128_in1k.py'
model = dict(
    _delete_=True,
    type='mmrazor.SubnetModel',
    architecture=_base_.model.architecture,
    mutator=dict(type='NasMutator'),
    subnet='work_dirs/detnas_faster-rcnn-shufflenetv2_search_8xb2-1x_coco/subnet.yaml')
